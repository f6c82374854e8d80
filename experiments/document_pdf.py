"""A document's page as a PDF, by way of WeasyPrint."""

import contextlib
import io
from pathlib import Path

from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require

from funcnn.files import write_whole


def require_weasyprint() -> None:
    """Raise `InputError` where WeasyPrint, or Pango, on which it stands, is not installed."""
    from PIL import ImageFile

    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        # WeasyPrint prints a paragraph of its own before it raises.
        with contextlib.redirect_stdout(io.StringIO()):
            require("weasyprint", extra="report")
    except OSError as error:
        raise InputError(
            "a PDF needs the system library Pango (and HarfBuzz with it), which WeasyPrint cannot "
            f"load: {str(error).partition('.  ')[0].splitlines()[0]}"
        ) from None
    finally:  # which WeasyPrint changes for everybody
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


def write_pdf(html: str, path: Path) -> None:
    """Write what `to_html` gave as a PDF with outline and tags; equal pages give equal files.

    Raises `InputError` as `require_weasyprint`, `OSError`.
    """
    require_weasyprint()
    from weasyprint import HTML

    write_whole(path, HTML(string=html).write_pdf(pdf_tags=True))
