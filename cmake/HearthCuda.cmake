# hearth_cuda: GPUs as kernels/device.h wants them. With HEARTH_CUDA ON, or AUTO where there is nvcc,
# it is the .cu files of the kernel families and the CUDA runtime, linked statically: the program
# starts on machines without a driver, which is loaded when a GPU is first asked for. cuBLAS is
# loaded for --fast-math-order alone, and not needed to build. Else it is the one file that says that
# this build has no CUDA.
#
# HEARTH_CUDA_ARCHITECTURES: what the kernels are compiled for. The default covers Turing to Hopper,
# and later ones by the driver's compiler.

set(HEARTH_CUDA_ARCHITECTURES 75 80 86 89 90a CACHE STRING "Compute capabilities of the kernels")

set(cuda_found OFF)
if(HEARTH_CUDA STREQUAL "AUTO" AND HEARTH_SANITIZE)
  # Sanitizers see the host's code alone; the kernels they see in the emulator (tests/kernels/cuda).
  message(STATUS "Hearth: sanitizers: CPU only")
elseif(HEARTH_CUDA)
  include(CheckLanguage)
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    # Where the toolkit installs itself; it is often not on the PATH.
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin)
  endif()
  # CMake's own try of the compiler needs an architecture that it knows.
  set(CMAKE_CUDA_ARCHITECTURES ${HEARTH_CUDA_ARCHITECTURES})
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(cuda_found ON)
  elseif(HEARTH_CUDA STREQUAL "AUTO")
    message(STATUS "Hearth: no CUDA compiler (nvcc): CPU only")
  else()
    message(FATAL_ERROR "HEARTH_CUDA is ON, but there is no CUDA compiler (nvcc)")
  endif()
else()
  message(STATUS "Hearth: HEARTH_CUDA is OFF: CPU only")
endif()

if(NOT cuda_found)
  hearth_library(cuda DIRS kernels/cuda/absent LINK hearth_kernels)
  return()
endif()

enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/*/*.cu)
hearth_library(cuda DIRS kernels/cuda/runtime LINK hearth_kernels PRIVATE_LINK CUDA::cudart_static
               ${CMAKE_DL_LIBS})
target_sources(hearth_cuda PRIVATE ${cuda_sources})
# CMake 3.25 does not know how to ask CUDA 13 for C++20, so the flag is spelled out. -fmad=false:
# products and sums are fused only where the code says so, so that kernels that must agree bit for
# bit do (DESIGN section 2, rule 3).
set_target_properties(hearth_cuda PROPERTIES CUDA_STANDARD_REQUIRED OFF)
target_compile_options(hearth_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;-fmad=false;-Werror=all-warnings>)
# What 9.0 alone can do is compiled for 90a alone, and used where that is there.
if("90a" IN_LIST HEARTH_CUDA_ARCHITECTURES OR "90a-real" IN_LIST HEARTH_CUDA_ARCHITECTURES)
  target_compile_definitions(hearth_cuda PRIVATE HEARTH_CUDA_90A)
endif()
list(JOIN HEARTH_CUDA_ARCHITECTURES ", " cuda_list)
message(STATUS "Hearth: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for architectures ${cuda_list}")
