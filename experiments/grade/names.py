"""Names of files as text, whatever code page the student's machine wrote them in."""

import contextlib
import unicodedata
from collections.abc import Sequence

_CODE_PAGES = {"Big5": "big5hkscs", "GBK": "gb18030", "EUC-KR": "cp949"}
"""By what people call them; each of these codecs knows the plain one's signs and more."""

_FAMILIAR = {
    "Big5": (
        "王李張陳林黃吳劉蔡楊許鄭謝郭洪曾邱廖賴周徐蘇葉莊呂江何蕭羅高潘簡朱鍾游彭詹胡施沈余盧梁趙"
        "顏柯翁魏孫戴方宋范鄧杜傅侯曹薛丁馬唐溫董卓小大明華文志家俊建怡雅淑美玉婷宇承佳欣冠宏宗翰"
        "哲豪偉傑軒柏廷彥品睿思安子涵詩芳君儀筱琪慧珊作業報告實驗深度學習類神經網路第一次組號姓名"
        "檔案程式碼圖片資料夾新壓縮"
    ),
    "GBK": (
        "王李张陈林黄吴刘蔡杨许郑谢郭洪曾邱廖赖周徐苏叶庄吕江何萧罗高潘简朱钟游彭詹胡施沈余卢梁赵"
        "颜柯翁魏孙戴方宋范邓杜傅侯曹薛丁马唐温董卓小大明华文志家俊建怡雅淑美玉婷宇承佳欣冠宏宗翰"
        "哲豪伟杰轩强军磊洋勇艳娜静敏涛超鹏飞鑫波斌浩思安子涵诗芳君作业报告实验深度学习神经网络第"
        "一次组号姓名件代码图片新压缩"
    ),
    "EUC-KR": (
        "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채"
        "원천방공현함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편용수영준혜경희미"
        "호재승훈상철동병태아나라빈찬규과제보고서딥러닝학번이름번호최종자료새폴더압축파일사본코드그림"
        "실험숙제제출"
    ),
}
"""Signs of names and of what hand-ins are called; the rarer ones say little."""
_MOST_COMPARED = 1000
"""Names that the code page is told from."""


def decode_names(names: Sequence[bytes], usual: str | None = None) -> tuple[list[str], str | None]:
    """The names as text, and the code page of those that are not UTF-8, one for all of them.

    usual: the code page to take where two are as likely. Bytes that it does not know become
    escapes, which is a matter of each name by itself; the slashes of all are `/`.
    """
    odd = [name for name in names if not _is_utf8(name)]
    if not odd:
        return [_decoded(name, None) for name in names], None
    likeness = {page: _likeness(odd[:_MOST_COMPARED], page) for page in _CODE_PAGES}
    likely = max(_CODE_PAGES, key=lambda page: (likeness[page], page == usual))
    if likeness[likely] < 0:
        return [_decoded(name, None) for name in names], "no known encoding"
    return [_decoded(name, _CODE_PAGES[likely]) for name in names], likely


def _decoded(name: bytes, codec: str | None) -> str:
    """The name in UTF-8, else by the codec, with one sign a syllable, else with escapes."""
    for each in ("utf-8", codec):
        if each is not None:
            with contextlib.suppress(UnicodeDecodeError):
                return unicodedata.normalize("NFC", name.decode(each)).replace("\\", "/")
    # Slashes first: an escape begins with a sign that is one on Windows.
    return name.replace(b"\\", b"/").decode(errors="backslashreplace")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _likeness(names: Sequence[bytes], page: str) -> float:
    """How much the names look like text of the code page; below 0: none is in it.

    The share of signs that are familiar, and, weighing less, of those in its first, frequent part.
    """
    signs, strange = [], 0.0
    for name in names:
        try:
            signs += [sign for sign in name.decode(_CODE_PAGES[page]) if sign > "\x7f"]
        except UnicodeDecodeError:
            strange += sum(byte > 0x7F for byte in name) / 2
    if not signs:
        return -1
    familiar = sum(sign in _FAMILIAR[page] for sign in signs)
    frequent = sum(_is_frequent(sign, page) for sign in signs)
    return (familiar + frequent / 4) / (len(signs) + strange)


def _is_frequent(sign: str, page: str) -> bool:
    try:
        code = sign.encode(_CODE_PAGES[page])
    except UnicodeEncodeError:  # one of two signs that stand for one code
        return False
    low, high = {"Big5": (0xA4, 0xC6), "GBK": (0xB0, 0xD7), "EUC-KR": (0xB0, 0xC8)}[page]
    plain = len(code) == 2 and low <= code[0] <= high
    return plain and (page == "Big5" or code[1] >= 0xA1)
