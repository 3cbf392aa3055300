"""ThumbHash (evanw.github.io/thumbhash): a picture in about 25 bytes, shown until the real one is there.

Own code because the package `thumbhash` 0.1.2 raises TypeError on any transparent pixel; for opaque pictures
the tests compare both.
"""

from math import cos, pi
from operator import mul

# False when run, true for the type checker: the child doesn't pay for importing `typing`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SIDE = 100


def thumbhash(width: int, height: int, rgba: bytes) -> bytes:
    """Hash `rgba`: uint8 [height, width, 4], sRGB, not premultiplied, row-major; both sides at most 100."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and len(rgba) == width * height * 4):
        raise ValueError(f"{len(rgba)} bytes are no RGBA picture of {width} × {height}, at most 100 × 100")
    lightness, yellow_blue, red_green, alpha = _channels(rgba)
    has_alpha = any(value < 255 for value in rgba[3::4])
    limit = 5 if has_alpha else 7
    across = max(1, _round(limit * width / max(width, height)))
    down = max(1, _round(limit * height / max(width, height)))
    l_dc, l_ac, l_scale = _encode(lightness, width, height, max(3, across), max(3, down))
    p_dc, p_ac, p_scale = _encode(yellow_blue, width, height, 3, 3)
    q_dc, q_ac, q_scale = _encode(red_green, width, height, 3, 3)
    landscape = width > height
    colour = (
        _round(63 * l_dc)
        | _round(31.5 + 31.5 * p_dc) << 6
        | _round(31.5 + 31.5 * q_dc) << 12
        | _round(31 * l_scale) << 18
        | has_alpha << 23
    )
    shape = (
        (down if landscape else across)
        | _round(63 * p_scale) << 3
        | _round(63 * q_scale) << 9
        | landscape << 15
    )
    head = colour.to_bytes(3, "little") + shape.to_bytes(2, "little")
    waves = l_ac + p_ac + q_ac
    if has_alpha:
        a_dc, a_ac, a_scale = _encode(alpha, width, height, 5, 5)
        head += bytes([_round(15 * a_dc) | _round(15 * a_scale) << 4])
        waves += a_ac
    nibbles = [_round(15 * wave) for wave in waves]
    if len(nibbles) % 2:
        nibbles.append(0)
    return head + bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def _channels(rgba: bytes) -> "tuple[list[float], list[float], list[float], list[float]]":
    """Lightness, yellow − blue, red − green and alpha, laid over the picture's average colour."""
    alpha = [value / 255 for value in rgba[3::4]]
    weight = sum(alpha) or 1.0
    red, green, blue = (_over_average(rgba[band::4], alpha, weight) for band in range(3))
    lightness = [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)]
    yellow_blue = [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)]
    red_green = [r - g for r, g in zip(red, green, strict=True)]
    return lightness, yellow_blue, red_green, alpha


def _over_average(band: bytes, alpha: "Sequence[float]", weight: float) -> "list[float]":
    average = sum(map(mul, alpha, band)) / 255 / weight
    return [average * (1 - a) + a * value / 255 for a, value in zip(alpha, band, strict=True)]


def _encode(
    channel: "Sequence[float]", width: int, height: int, across: int, down: int
) -> "tuple[float, list[float], float]":
    """A triangle of a cosine transform: its constant, the others scaled to 0 … 1, and that scale."""
    rows = [channel[start : start + width] for start in range(0, width * height, width)]
    row_sums = []
    for cx in range(across):
        wave = [cos(pi / width * cx * (x + 0.5)) for x in range(width)]
        row_sums.append([sum(map(mul, row, wave)) for row in rows])
    coefficients = []
    for cy in range(down):
        wave = [cos(pi / height * cy * (y + 0.5)) for y in range(height)]
        for cx in range(across):
            if cx * down >= across * (down - cy):
                break
            coefficients.append(sum(map(mul, row_sums[cx], wave)) / (width * height))
    constant, waves = coefficients[0], coefficients[1:]
    scale = max(map(abs, waves), default=0.0)
    return constant, [0.5 + 0.5 / scale * wave if scale else 0.0 for wave in waves], scale


def _round(value: float) -> int:
    """Half up, as the reference does; all values here are at least 0."""
    return int(value + 0.5)
