"""A pytest plugin under which the tests of phase 5 run on the compiler: `pytest -p compiled_engine tests/phase5`."""

from pallas_np import compiler, phase5

phase5.run = compiler.run
phase5.pallas_call = compiler.pallas_call
