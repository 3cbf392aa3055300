"""Our ThumbHash agrees with the published one where that one works."""

import pytest
from thumbhash import rgba_to_thumb_hash, thumb_hash_to_average_rgba

from pipeline.placeholder import thumbhash


def gradient(width: int, height: int) -> bytes:
    return bytes(
        value
        for y in range(height)
        for x in range(width)
        for value in (255 * x // width, 255 * y // height, (x * y) % 256, 255)
    )


def nibbles(data: bytes) -> list[int]:
    return [half for byte in data[5:] for half in (byte & 15, byte >> 4)]


@pytest.mark.parametrize(("width", "height"), [(100, 67), (67, 100), (100, 100), (33, 7)])
def test_opaque_pictures_hash_as_in_the_package(width: int, height: int) -> None:
    rgba = gradient(width, height)
    ours, theirs = thumbhash(width, height, rgba), bytes(rgba_to_thumb_hash(width, height, list(rgba)))
    # Sums in another order may round one of the 16 steps of a coefficient the other way.
    assert ours[:5] == theirs[:5]
    assert all(abs(a - b) <= 1 for a, b in zip(nibbles(ours), nibbles(theirs), strict=True))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (100, 1), (1, 100)])
@pytest.mark.parametrize("colour", [(0, 0, 0, 255), (255, 255, 255, 255), (0, 0, 255, 255), (9, 9, 9, 0)])
def test_extreme_pictures_have_a_hash(width: int, height: int, colour: tuple[int, ...]) -> None:
    assert 5 <= len(thumbhash(width, height, bytes(colour) * (width * height))) <= 32


def test_transparency_is_in_the_hash() -> None:
    opaque, clear = bytes([200, 40, 40, 255]), bytes([0, 0, 0, 0])
    hashed = thumbhash(32, 32, (opaque * 16 + clear * 16) * 32)
    assert hashed[2] & 0x80
    red, green, blue, alpha = thumb_hash_to_average_rgba(list(hashed))
    assert red > 2 * max(green, blue)
    assert alpha == pytest.approx(0.5, abs=0.05)


def test_a_picture_over_100_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 100"):
        thumbhash(101, 1, bytes(404))
