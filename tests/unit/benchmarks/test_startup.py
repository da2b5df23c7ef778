import startup

ROUNDS = [
    {startup.TORCH: (2.0, 1.0), "--help": (0.5, 0.25)},
    {startup.TORCH: (4.0, 2.0), "--help": (0.5, 0.5)},
    {startup.TORCH: (2.0, 1.0), "--help": (1.0, 0.75)},
]


def test_ratios_are_taken_round_by_round():
    assert startup.row("--help", ROUNDS) == "| `--help` | 0.50 | 0.25 [0.12, 0.50] | 0.25 [0.25, 0.75] |"


def test_every_command_is_compared_with_importing_torch(tmp_path):
    commands = startup.commands(tmp_path, 0)
    assert next(iter(commands)) == startup.TORCH
    assert commands["apply resnet50"][-1] == str(tmp_path / "artifact-0")
