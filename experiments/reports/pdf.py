"""A document's page as a PDF, by way of WeasyPrint."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from funcnn._files import write_whole
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require


def require_weasyprint() -> None:
    """Raise `InputError` where WeasyPrint, or Pango, on which it stands, is not installed."""
    from PIL import ImageFile

    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        # WeasyPrint prints a paragraph of its own before it raises.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in `_by_any_machine`
            require("weasyprint", extra="report")
    except OSError as error:
        raise InputError(
            "a PDF needs the system library Pango (and HarfBuzz with it), which WeasyPrint cannot "
            f"load: {str(error).partition('.  ')[0].splitlines()[0]}"
        ) from None
    finally:  # which WeasyPrint changes for everybody
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


def to_pdf(html: str) -> bytes:
    """What `to_html` gave as a PDF with outline and tags; equal pages give equal files.

    Raises `InputError` as `require_weasyprint`.
    """
    require_weasyprint()
    from weasyprint import HTML

    with _by_any_machine():
        pdf: bytes = HTML(string=html).write_pdf(pdf_tags=True)
    return pdf


def write_pdf(html: str, path: Path) -> None:
    """Write it to a file. Raises `InputError` as `require_weasyprint`, `OSError`."""
    write_whole(path, to_pdf(html))


@contextlib.contextmanager
def _by_any_machine() -> Iterator[None]:
    """Where HarfBuzz's subset library is missing, the PDF is complete all the same.

    fontTools cuts the fonts then. It would date what it cuts, by the clock if not told otherwise,
    and WeasyPrint would say of every font that a later release will need the library.
    """
    logger = logging.getLogger("weasyprint")
    level, date = logger.level, os.environ.get("SOURCE_DATE_EPOCH")
    logger.setLevel(logging.ERROR)
    os.environ["SOURCE_DATE_EPOCH"] = date or "0"
    try:
        yield
    finally:
        logger.setLevel(level)
        if date is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = date
