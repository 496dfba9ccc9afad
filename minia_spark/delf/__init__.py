"""DELF, a local feature that is trained (Noh et al. 2017): training sets, training, export."""

from minia_spark.delf.reasons import Reason
from minia_spark.engine.room import Command, Room

_HERE = "minia_spark.delf"

COMMANDS = (
    Command(
        "delf dataset",
        "make a training set from Galaxy Zoo 2's votes and images",
        f"{_HERE}.dataset:dataset",
        f"{_HERE}.dataset:arguments",
        "Joins the votes (gz2_hart16.csv) with the names of the images\n"
        "(gz2_filename_mapping.csv), gives galaxies their classes, draws class_size of each, and\n"
        "writes two copies of every image that is used: A<name>.jpg is moved (by up to 1/8 of\n"
        "width and height, turned by up to 30 degrees, flipped), F<name>.jpg is moved likewise\n"
        "and black outside the sources.\n"
        "\n"
        "Classes, with debiased fractions > 0.70 on the way and > 0.75 at its end:\n"
        "  0 ring              odd (a14), ring (a19)\n"
        "  1 rounded           features (a02), edge-on (a04), rounded bulge (a25)\n"
        "  2 no_bulge          features, edge-on, no bulge (a27)\n"
        "  3 tight             features, not edge-on (a05), spiral (a08), tight arms (a28)\n"
        "  4 medium            the same, medium arms (a29)\n"
        "  5 loose             the same, loose arms (a30)\n"
        "  6 completely_round  smooth (a01), completely round (a16)\n"
        "  7 in_between        smooth, in between (a17)\n"
        "  8 cigar_shaped      smooth, cigar shaped (a18)\n"
        "A galaxy of two classes, such as a ring with tight arms, is taken for the first; how\n"
        "many there are is told. A fraction that is missing exceeds nothing.\n"
        "\n"
        "CONFIG is a file in YAML or JSON with the keys\n"
        "  galaxyZoo2_path      CSV of votes: dr7objid and the t.._debiased columns\n"
        "  map_images_path      CSV of images: objid, asset_id\n"
        "  train_dataset_path   what the names of the CSV files written begin with\n"
        "  images_dir_path      folder of the images, ASSET_ID.jpg\n"
        "  images_out_dir_path  folder for the copies\n"
        "  class_size           galaxies of a class at most\n"
        "and each has an option that wins over it. Written are, with P for train_dataset_path,\n"
        "  P_with_filter.csv  F<name> and the originals: type_galaxy_id,images\n"
        "  P_original.csv     A<name> and the originals\n"
        "  P_votes.csv        name and a column a class: the product of the fractions on the\n"
        "                     way to it, divided by the sum over all nine\n"
        "  P_left_out.csv     galaxies of a class without a usable image, rows that cannot be\n"
        "                     used, and why\n"
        "The same seed draws and moves the same, whatever the order of rows and the machine.",
        "  minia delf dataset gz2.yaml\n"
        "  minia delf dataset gz2.yaml --class-size 500 --seed 7 --set spark.master='local[2]'",
    ),
    Command(
        "delf tfrecords",
        "make TensorFlow records for training from a training set and its images",
        f"{_HERE}.tfrecords:tfrecords",
        f"{_HERE}.tfrecords:arguments",
        "CSV has two columns and a header: 'type_galaxy_id,images', then a class a line: its\n"
        "number (or name), and the names of its images, without ending and between single\n"
        "spaces. 'minia delf dataset' writes it; any other images with classes may come so. A\n"
        "number is the class's label, names are numbered in their order.\n"
        "\n"
        "An image is looked for as NAME.jpg, then .JPG, .jpeg and .JPEG, in the folders given.\n"
        "JPEG files go into the records as they are; other formats, and JPEGs that EXIF turns,\n"
        "are encoded anew. What is grey, broken or missing is listed in OUT/rejects.csv.\n"
        "\n"
        "Of every class the share --validation, but at least one image, is drawn to validate; a\n"
        "copy (F<name> or A<name>) always goes where its original goes. Written are\n"
        "OUT/train-00000-of-00064 and so on, OUT/validation-..., and OUT/manifest.json with the\n"
        "classes in the order of their labels, counts, seed and the hash of CSV. A record has\n"
        "image/encoded, format, height, width, channels, colorspace, id and class/label. The\n"
        "same images and seed give the same bytes on any number of cores.",
        "  minia delf tfrecords P_with_filter.csv --images DIR --images COPIES --out RECORDS\n"
        "  minia delf tfrecords tiles.csv --images tiles --out RECORDS --shards 4",
    ),
    Command(
        "delf train",
        "train the network from TFRecords, or go on where training stopped",
        f"{_HERE}.train:train",
        f"{_HERE}.train:arguments",
        "Trains ResNet50 with the heads of DELF, all at once: a descriptor head, and on features\n"
        "that it leaves alone an attention head and an autoencoder. OUT gets settings.yaml,\n"
        "manifest.json, checkpoints/ (the newest two, each complete or not there) and logs/ for\n"
        "TensorBoard. The same line again goes on from the newest checkpoint, also after kill -9,\n"
        "with the same images in the same order. All GPUs of the machine are used where there are\n"
        "any. Needs TensorFlow: pip install 'minia-spark[networks]'.",
        "  minia delf train --train tfrecords/ --out delf1 \\\n"
        "      --imagenet-checkpoint resnet50_notop.h5\n"
        "  minia delf train --train tfrecords/ --out small --width 0.25 --image-size 129 \\\n"
        "      --max-iters 500 --initial-lr 0.01 --batch-size 16   # an hour on a laptop\n"
        "  tensorboard --logdir delf1/logs",
    ),
    Command(
        "delf export",
        "write a trained network as the SavedModel that extraction takes",
        f"{_HERE}.export:export",
        f"{_HERE}.export:arguments",
        "Takes the newest checkpoint of a training. The SavedModel's signature serving_default\n"
        "takes input_image (uint8 [h, w, 3]), input_scales [s], input_max_feature_num and\n"
        "input_abs_thres, and returns boxes [n, 4] (y1, x1, y2, x2 in pixels), features [n, 128],\n"
        "scales [n] (1 / scale) and scores [n, 1]; signature batch takes images of one size and\n"
        "one scale. OUT/minia.json holds scales, threshold, settings and hashes. Scores depend\n"
        "on the training: --threshold is best chosen by attention/p75 in TensorBoard, else there\n"
        "are too many features or none. Needs TensorFlow: pip install 'minia-spark[networks]'.",
        "  minia delf export delf1 delf1.model\n"
        "  minia run --images DIR --batch b1 --warehouse W \\\n"
        "      --set features.extractors=[sift,delf] --set features.delf.model=delf1.model\n"
        "  minia delf export small small.model --threshold 0.7  # attention/p75 of its logs",
    ),
)

ROOM = Room(
    name="delf",
    about="DELF, a local feature that is trained: training sets, training, export.",
    commands=COMMANDS,
    reasons=Reason,
)

__all__ = ["COMMANDS", "ROOM"]
