from n2nsurgery.core.progress import SILENT, part_of


def test_a_part_of_the_work_fills_its_part_of_the_whole():
    seen = []
    inner = part_of(lambda *call: seen.append(call), 0.25, 0.75)
    for fraction in (0.0, 0.5, 1.0):
        inner("scoring", fraction)
    assert seen == [("scoring", 0.25), ("scoring", 0.5), ("scoring", 0.75)]


def test_parts_nest():
    seen = []
    part_of(part_of(lambda *call: seen.append(call), 0.5, 1.0), 0.5, 1.0)("last", 0.5)
    assert seen == [("last", 0.875)]


def test_silence_returns_nothing():
    assert SILENT("tracing", 0.5) is None
