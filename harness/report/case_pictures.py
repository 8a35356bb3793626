"""The pictures that a run keeps of a variant: a strip for the contact sheet, the prompts that lost most, and all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.ablation.case import Case
from harness.errors import HarnessError, first_line
from harness.report.contact_sheet import keep_strips
from harness.report.image_sheet import save_image_sheet, save_texts, sheet_path, texts_path
from harness.report.prompt_picture import picture_path, save_picture
from harness.report.worst_prompts import prompt_harms
from harness.results.arrays import Images
from harness.results.records import Measurement


def keep_pictures(
    folder: Path,
    case: Case,
    measurement: Measurement,
    images: Images,
    control: Callable[[], Images],
    texts: Sequence[str],
    *,
    red: bool,
) -> str:
    """Write a variant's pictures; why that failed in one line, empty where it did not. Never raises for a picture.

    ``images`` and what ``control`` returns are (N, 3, H, W) uint8, of the N prompts whose ``texts`` these are; there is
    no picture of a variant without images. Call it once the record is written: a full disk must cost pictures first.
    """
    if not len(images):
        return ""
    try:
        base = control()
        keep_strips(folder, case, images, base, texts)
        prompts = prompt_harms(measurement, texts)
        if len(prompts) == len(images) == len(base):
            save_picture(picture_path(folder, case.id), case.id, base, images, prompts, red=red)
            save_image_sheet(images, sheet_path(folder, case.id))
            beside = sheet_path(folder, f"{case.checkpoint}-control")
            if not beside.exists():
                save_image_sheet(base, beside)
                save_texts(texts, texts_path(folder, case.checkpoint))
    except HarnessError as error:
        return str(error)
    except (OSError, ValueError, ImportError, MemoryError) as error:  # Pillow's, without its font for example
        return f"can't draw the pictures of {case.id}: {first_line(error, with_type=True)}"
    return ""
