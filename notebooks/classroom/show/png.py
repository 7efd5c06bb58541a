"""A finished figure as a PNG: sharp on sharp screens, small, and a light card on dark pages."""

import io

import numpy as np

SCREEN = 100  # pixels of a page for an inch of a picture
SHARP = 2  # pixels of the picture for each of them
AREAS, EDGES = 80, 60  # colours kept: the most frequent, and those that all others are nearest to
MARGIN, ROUND = 0.12, 12  # white around the drawing, inches; radius of its corners, pixels


def png(figure) -> tuple[bytes, int]:
    """The bytes of a picture, and how many pixels of a page it is to be wide."""
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=SHARP * SCREEN, bbox_inches="tight", pad_inches=MARGIN)
    image = with_few_colours(Image.open(drawn).convert("RGB"))
    round_corners(image, SHARP * ROUND)
    image.save(packed, "png", optimize=True, transparency=AREAS + EDGES)
    return packed.getvalue(), image.width // SHARP


def with_few_colours(image):
    """The picture with a palette, in less than half the bytes.

    Areas keep their colours to the bit, since colours mean numbers; the shades at the edges of
    letters and lines are rounded.
    """
    from PIL import Image

    pixels = np.asarray(image).astype(np.int64) @ [65536, 256, 1]  # one number for a colour
    seen, which, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    covering = image.quantize(EDGES, method=Image.Quantize.MAXCOVERAGE).getpalette()
    frequent = parts(seen[np.argsort(-counts, kind="stable")[:AREAS]])
    palette = np.zeros((AREAS + EDGES, 3), int) + 255
    palette[: len(frequent)] = frequent
    palette[AREAS:] = np.reshape(covering[: 3 * EDGES], (-1, 3))
    distances = ((parts(seen)[:, None] - palette) ** 2).sum(axis=-1)
    nearest = distances.argmin(axis=-1).astype(np.uint8)
    few = Image.fromarray(nearest[which].reshape(pixels.shape))
    few.putpalette([*palette.ravel().astype(np.uint8).tolist(), 255, 255, 255])
    return few


def parts(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue of colours that are one number each.

    >>> parts(np.array([0x0102FF]))
    array([[  1,   2, 255]])
    """
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)


def round_corners(image, radius: int) -> None:
    """Give all that lies outside round corners the last colour, which nothing else has."""
    from PIL import Image, ImageChops, ImageDraw

    inside = Image.new("L", image.size)
    ImageDraw.Draw(inside).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius, 255)
    image.paste(AREAS + EDGES, mask=ImageChops.invert(inside))
