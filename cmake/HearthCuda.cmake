# The CUDA parts. Until there are kernels, this proves that every header that they will share with
# the CPU's kernels compiles for the device.
include(CheckLanguage)
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  # Where the toolkit installs itself; it is often not on the PATH.
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin)
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "HEARTH_CUDA is on, but there is no CUDA compiler (nvcc); "
                      "the presets dev and release build without")
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75 80 86 89 90a)
endif()
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
add_library(hearth_kernels_cuda OBJECT ${cuda_sources})
target_include_directories(hearth_kernels_cuda PRIVATE ${CMAKE_SOURCE_DIR})
# CMake 3.25 does not know how to ask CUDA 13 for C++20, so the flag is spelled out.
set_target_properties(hearth_kernels_cuda PROPERTIES CUDA_STANDARD_REQUIRED OFF)
target_compile_options(hearth_kernels_cuda PRIVATE -std=c++20 -Werror=all-warnings)
