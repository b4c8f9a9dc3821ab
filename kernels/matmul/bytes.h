#pragma once
// 16 and 32 bytes at once, as the code that unpacks weights names them on every architecture:
// Bytes16, Bytes32 and what is done with them.

#if defined(__aarch64__)
#include "kernels/matmul/bytes_neon.h"
#else
#include "kernels/matmul/bytes_avx2.h"
#endif
