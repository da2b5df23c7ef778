import subprocess
import sys


def test_the_numerics_need_no_torch():
    code = "import n2nsurgery.connectivity as c, sys; assert callable(c.heat_signature); print('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
