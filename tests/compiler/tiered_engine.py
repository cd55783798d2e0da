"""A pytest plugin under which the tests of phase 5 run on the tiered engine: `pytest -p tiered_engine tests/phase5`."""

from pallas_np import compiler, frontend, phase5

phase5.run = compiler.run_tiered
phase5.pallas_call = frontend.pallas_call_on(frontend.Engine("the compiler", compiler.run_tiered))
