"""Networks: batches that do not matter, bad images beside good, files that are something else."""

from __future__ import annotations

import numpy as np
import onnx_samples
import pytest

from minia_spark.base.errors import InputError, MiniaError, Rejected
from minia_spark.embedding.files import sha256_of
from minia_spark.embedding.network import OnnxNetwork, embed, square


class Mean:
    """The mean of each colour; not a number for pictures whose mean is 13."""

    height, width, fit, batch_images = 4, 6, "squeeze", 3

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(images.shape)
        found = images.mean(axis=(1, 2)).astype(np.float32)
        found[found == 13] = np.nan
        return found


def grey(value, shape=(9, 9)):
    return np.full(shape, value, np.uint8)


class TestSquare:
    def test_the_whole_image_squeezed(self):
        pixels = np.zeros((4, 8), np.uint8)
        pixels[:, 4:] = 200
        assert square(pixels, 2, 2).tolist() == [[[0] * 3, [200] * 3]] * 2

    def test_its_middle(self):
        pixels = np.zeros((4, 8, 3), np.uint8)
        pixels[:, 2:6] = (9, 8, 7)
        assert (square(pixels, 2, 2, "crop") == (9, 8, 7)).all()

    @pytest.mark.parametrize("fit", ["squeeze", "crop"])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1, 3), (7, 3)])
    def test_any_shape(self, fit, shape):
        assert square(np.full(shape, 5, np.uint8), 4, 6, fit).tolist() == [[[5] * 3] * 6] * 4


class TestEmbed:
    def test_batches_are_of_one_size(self):
        network = Mean()
        found = embed(network, [grey(value) for value in range(7)])
        assert [vector.tolist() for vector in found] == [[value] * 3 for value in range(7)]
        assert network.seen == [(3, 4, 6, 3)] * 3

    def test_bad_images_beside_good(self):
        unreadable = Rejected("truncated", "It ends too early.")
        images = [grey(1), unreadable, grey(13), np.zeros((0, 5), np.uint8), grey(2)]
        found = embed(Mean(), images)
        assert [one.tolist() for one in (found[0], found[4])] == [[1] * 3, [2] * 3]
        assert found[1] is unreadable
        assert (found[2].reason, found[2].detail) == (
            "embedding_not_finite",
            "3 of the 3 numbers of its embedding are not finite.",
        )
        assert found[3].reason == "embedding_failed"

    def test_no_image(self):
        assert embed(Mean(), []) == []


def made(path, **told):
    usual = {
        "model": str(path),
        "sha256": sha256_of(path),
        "size": [8, 8],
        "order": "rgb",
        "layout": "nchw",
        "mean": [0, 0, 0],
        "scale": [255, 255, 255],
        "fit": "squeeze",
        "output": "means",
        "batch_images": 4,
        "threads": 1,
    }
    return OnnxNetwork(**usual | told)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="the extra 'networks' is not installed")
    return onnx_samples.write(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (9, 8, 8, 3)).astype(np.uint8)


class TestOnnx:
    def test_by_hand(self, model, images):
        """A convolution over pieces of 2 x 2 pixels, and its mean."""
        (found,) = embed(made(model), images[:1])
        kernel = onnx_samples.kernel()
        values = images[0].astype(np.float64) / 255
        wanted = [
            np.mean(
                [
                    (values[y : y + 2, x : x + 2].transpose(2, 0, 1) * one).sum()
                    for y in range(0, 8, 2)
                    for x in range(0, 8, 2)
                ]
            )
            for one in kernel
        ]
        assert found.tolist() == pytest.approx(wanted, abs=1e-5)

    def test_an_output_with_positions_is_averaged(self, model, images):
        means, maps = (
            np.array(embed(made(model, output=name), images)) for name in ("means", "maps")
        )
        assert maps == pytest.approx(means, abs=1e-6)

    def test_mean_scale_and_order(self, model, images):
        told = {"mean": [10, 20, 30], "scale": [2, 4, 8], "order": "bgr"}
        by_network = np.array(embed(made(model, **told), images))
        values = (images[..., ::-1].astype(np.float32) - [10, 20, 30]) / [2, 4, 8]
        plain = made(model, scale=[1, 1, 1])
        session = plain._session
        (wanted,) = session.run(
            ["means"], {"pixels": values.transpose(0, 3, 1, 2).astype(np.float32)}
        )
        assert by_network == pytest.approx(wanted, rel=1e-4, abs=1e-5)

    def test_who_else_is_in_the_batch_does_not_matter(self, model, images):
        network = made(model)
        every = embed(network, images)
        assert all(
            np.array_equal(embed(network, [image])[0], every[i]) for i, image in enumerate(images)
        )
        assert all(map(np.array_equal, embed(network, images[::-1]), every[::-1]))

    def test_no_such_output(self, model):
        with pytest.raises(InputError, match="has no output 'mean'; outputs: means, maps"):
            made(model, output="mean")

    def test_images_that_it_does_not_take(self, model):
        with pytest.raises(InputError, match="does not take images as its side file says"):
            made(model, size=[8, 9])

    def test_a_truncated_file(self, model, tmp_path):
        part = tmp_path / "part.onnx"
        part.write_bytes(model.read_bytes()[:-40])
        with pytest.raises(InputError, match=r"part\.onnx cannot be loaded by ONNX Runtime"):
            made(part)

    def test_another_file_than_the_driver_found(self, model):
        with pytest.raises(MiniaError, match="another file here than where the run was started"):
            made(model, sha256="0" * 64)
