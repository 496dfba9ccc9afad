"""DELF, a trained local feature: its network, trained and exported."""

from minia_spark.engine.room import Command, Room

ROOM = Room(
    name="delf",
    about="A trained local feature: the network of DELF, trained and exported.",
    commands=(
        Command(
            "delf train",
            "train the network from TFRecords, or go on where training stopped",
            "minia_spark.delf.train:train",
            "minia_spark.delf.train:arguments",
            "Trains ResNet50 with the heads of DELF: a descriptor head, an attention head and an "
            "autoencoder, all at once. OUT gets settings.yaml, manifest.json, checkpoints/ (the "
            "newest two, each complete or not there) and logs/ for TensorBoard. The same line "
            "again goes on from the newest checkpoint, also after kill -9, with the same data in "
            "the same order. All GPUs of the machine are used where there are any. Needs "
            "TensorFlow: pip install 'minia-spark[networks]'.",
            "  minia delf train --train tfrecords/ --out delf1 \\\n"
            "      --imagenet-checkpoint resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5\n"
            "  minia delf train --train tfrecords/ --out small --width 0.25 --image-size 129 \\\n"
            "      --max-iters 500 --initial-lr 0.01 --batch-size 16   # an hour on a laptop\n"
            "  tensorboard --logdir delf1/logs",
        ),
        Command(
            "delf export",
            "write a trained network as the SavedModel that extraction takes",
            "minia_spark.delf.export:export",
            "minia_spark.delf.export:arguments",
            "Takes the newest checkpoint of a training. The SavedModel's signature serving_default "
            "takes input_image (uint8 [h, w, 3]), input_scales [s], input_max_feature_num and "
            "input_abs_thres, and returns boxes [n, 4] (y1, x1, y2, x2 in pixels), features "
            "[n, 128], scales [n] (1 / scale) and scores [n, 1]; signature batch takes images of "
            "one size and one scale. OUT/minia.json holds scales, threshold, settings and hashes. "
            "Needs TensorFlow: pip install 'minia-spark[networks]'.",
            "  minia delf export delf1 delf1.model\n"
            "  minia run --images DIR --batch b1 --warehouse W \\\n"
            "      --set features.extractors=[sift,delf] --set features.delf.model=delf1.model\n"
            "  minia delf export small small.model --threshold 0.7  # attention/p75 of its logs",
        ),
    ),
)

__all__ = ["ROOM"]
