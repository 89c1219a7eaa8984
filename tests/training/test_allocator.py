import json
import subprocess
import sys

import pytest

PASSES = """
import ctypes, json, resource
from adambias.training import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**26)
    libc.memset(block, 1, 2**26)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


plain = [faults(), faults()]
allocator.keep_freed_memory()
kept = [faults(), faults()]
full = resident()
allocator.return_freed_memory()
print(json.dumps({"plain": plain, "kept": kept, "returned": full - resident()}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is about glibc")
def test_freed_memory_is_used_again_without_page_faults_until_it_is_returned():
    run = subprocess.run(
        [sys.executable, "-c", PASSES], capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(run.stdout)
    # A mapped block costs a fault per page in every pass, 64 MiB in pages of at most 64 KiB.
    assert min(found["plain"]) >= 1000
    assert found["kept"][1] < 20
    assert found["returned"] > 2**25
