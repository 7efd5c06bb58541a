"""A finished figure as a PNG: sharp on sharp screens, small, and a light card on dark pages."""

import io

SCREEN = 100  # pixels of a page for an inch of a picture
SHARP = 2  # pixels of the picture for each of them
COLOURS = 128  # as clear as with all of them, in less than half the bytes
MARGIN, ROUND = 0.12, 12  # white around the drawing, inches; radius of its corners, pixels


def png(figure) -> tuple[bytes, int]:
    """The bytes of a picture, and how many pixels of a page it is to be wide."""
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=SHARP * SCREEN, bbox_inches="tight", pad_inches=MARGIN)
    # The method that keeps rare colours: a lit word stays as dark as it is.
    image = Image.open(drawn).convert("RGB").quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )  # fmt: skip
    round_corners(image, SHARP * ROUND)
    image.save(packed, "png", optimize=True, transparency=COLOURS)
    return packed.getvalue(), image.width // SHARP


def round_corners(image, radius: int) -> None:
    """Give all that lies outside round corners a colour of its own, the one after the last."""
    from PIL import Image, ImageChops, ImageDraw

    inside = Image.new("1", image.size)
    ImageDraw.Draw(inside).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius, 1)
    image.putpalette([*image.getpalette()[: 3 * COLOURS], 255, 255, 255])
    image.paste(COLOURS, mask=ImageChops.invert(inside.convert("L")))
