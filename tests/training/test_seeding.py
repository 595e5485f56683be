"""Seeds of several numbers."""

from captum_cluster.training.seeding import mixed_seed


def test_each_number_and_its_place_count():
    seeds = [mixed_seed(a, b, c) for a in range(8) for b in range(8) for c in range(8)]
    assert len(set(seeds)) == 512
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_the_seed_is_the_same_everywhere():
    assert mixed_seed(1, 2, 3) == mixed_seed(1, 2, 3) == 3822189696
