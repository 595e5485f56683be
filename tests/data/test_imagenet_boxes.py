import pytest
import torch

from captum_cluster.data import ImageNetBoxes
from tests.helpers.trees import annotation, check_dataset, write_picture, write_table, write_text

HEADER = ("file", "class_index", "x0", "y0", "x1", "y1")
SYNSETS = (
    "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn03888257 parachute\n"
)


@pytest.fixture
def challenge(tmp_path):
    """Two validation pictures of 6 x 8 in the localisation challenge's own layout."""
    base = tmp_path / "ILSVRC"
    for number in (1, 2):
        name = f"ILSVRC2012_val_0000000{number}"
        write_picture(base / f"Data/CLS-LOC/val/{name}.JPEG", seed=number)
        objects = [("n03888257", 0, 0, 1, 4, 5), ("n03888257", 0, 6, 2, 20, 9)][:number]
        text = annotation(objects, size=(6, 8))
        write_text(base / f"Annotations/CLS-LOC/val/{name}.xml", text)
    write_text(tmp_path / "LOC_synset_mapping.txt", SYNSETS)
    return tmp_path


def test_the_challenges_layout(challenge):
    dataset = ImageNetBoxes(challenge)
    assert dataset.classes == ["tench", "goldfish", "parachute"]
    first, second = check_dataset(dataset)
    assert [first.name, second.name] == ["ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002"]
    assert first.present == second.present == [2]
    assert first.boxes == ((2, 0.0, 1.0, 4.0, 5.0),)
    assert second.boxes == ((2, 0.0, 1.0, 4.0, 5.0), (2, 6.0, 2.0, 8.0, 6.0))


def test_the_challenges_layout_without_its_outer_folder(challenge):
    write_text(challenge / "ILSVRC" / "LOC_synset_mapping.txt", SYNSETS)
    assert len(ImageNetBoxes(challenge / "ILSVRC")) == 2


def test_the_training_pictures_lie_in_folders(challenge):
    base = challenge / "ILSVRC"
    write_picture(base / "Data/CLS-LOC/train/n01440764/n01440764_10.JPEG")
    text = annotation([("n01440764", 0, 1, 1, 2, 2)])
    write_text(base / "Annotations/CLS-LOC/train/n01440764/n01440764_10.xml", text)
    (scene,) = ImageNetBoxes(challenge, split="train")
    assert (scene.name, scene.present) == ("n01440764/n01440764_10", [0])


def test_boxes_of_another_size_are_scaled(challenge):
    path = challenge / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    write_text(path, annotation([("n01443537", 0, 10, 10, 40, 50)], size=(60, 80)))
    assert ImageNetBoxes(challenge)[0].boxes == ((1, 1.0, 1.0, 4.0, 5.0),)


def test_damage_in_the_challenges_layout(challenge):
    notes = challenge / "ILSVRC/Annotations/CLS-LOC/val"
    first, second = (notes / f"ILSVRC2012_val_0000000{number}.xml" for number in (1, 2))
    dataset = ImageNetBoxes(challenge)
    write_text(first, annotation([("n99999999", 0, 0, 0, 1, 1)]))
    with pytest.raises(
        ValueError, match=r"LOC_synset_mapping\.txt, but got 'n99999999' \(.*1\.xml"
    ):
        dataset[0]
    write_text(first, annotation([]))
    with pytest.raises(ValueError, match=r"one with objects, but got '.*0001\.xml' without any"):
        dataset[0]
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"ILSVRC2012_val_00000002\.xml"):
        dataset[1]


def test_the_layout_of_folders_and_a_table(tmp_path):
    write_picture(tmp_path / "val/n01440764/1.JPEG")
    write_picture(tmp_path / "val/n03888257/1.JPEG")
    rows = [("n01440764/1.JPEG", 0, 0, 0, 1, 1), ("n03888257/1.JPEG", 701, 0, 0, 1, 1)]
    write_table(tmp_path / "val_boxes.csv", HEADER, rows)
    dataset = ImageNetBoxes(tmp_path)
    first, second = check_dataset(dataset)
    assert (first.present, second.present) == ([0], [701])
    assert dataset.classes[701] == "parachute"
    message = r"train/ and train_boxes\.csv, or with Data/CLS-LOC/train, but got '.*' without them"
    with pytest.raises(ValueError, match=message):
        ImageNetBoxes(tmp_path, split="train")


def test_incomplete_layouts(tmp_path, challenge):
    (challenge / "LOC_synset_mapping.txt").unlink()
    message = r"root to be a folder with LOC_synset_mapping\.txt, but got '.*' without it"
    with pytest.raises(FileNotFoundError, match=message):
        ImageNetBoxes(challenge)
    (challenge / "ILSVRC/Annotations").rename(challenge / "elsewhere")
    with pytest.raises(FileNotFoundError, match="annotations to be an existing folder"):
        ImageNetBoxes(challenge)
    with pytest.raises(FileNotFoundError, match="root to be an existing folder"):
        ImageNetBoxes(tmp_path / "no")
    with pytest.raises(ValueError, match="split to be one of 'val', 'train', but got 'test'"):
        ImageNetBoxes(challenge, split="test")


@pytest.mark.realdata
def test_the_150_validation_pictures(data_folder, real_photographs):
    dataset = ImageNetBoxes(data_folder / "imagenette")
    assert (len(dataset), len(dataset.classes)) == (150, 1000)
    labels = [dataset.labels_of(number) for number in range(150)]
    count = torch.tensor(labels).flatten().bincount()
    assert count[count > 0].tolist() == [15] * 10
    assert dataset.classes[217] == "English springer"
    assert sum(len(scene.boxes) for scene in dataset) == 259
    # The helper of the other tests reads the same pictures in its own way.
    scenes = {scene.name: scene for scene in dataset}
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    for photograph in real_photographs:
        scene = scenes[photograph.file.removesuffix(".JPEG")]
        assert scene.present == [photograph.class_index]
        assert torch.allclose((scene.image - mean) / std, photograph.image, atol=1e-5)
        assert torch.equal(scene.region(photograph.class_index), photograph.inside)
