# Options, compile flags and the two functions that make every library and test of the tree.

option(HEARTH_TESTS "Build the tests" ON)
set(HEARTH_CUDA AUTO CACHE STRING "The CUDA parts: ON, OFF, or AUTO: where there is nvcc")
set_property(CACHE HEARTH_CUDA PROPERTY STRINGS AUTO ON OFF)
option(HEARTH_FUZZ "Build the fuzz targets (clang)" OFF)
set(HEARTH_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread; empty for none")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Flags of our own code. -ffp-contract=off: a*b+c is fused only where the code says so, so that
# two builds of one expression give the same bits (DESIGN section 2, rule 3).
add_library(hearth_flags INTERFACE)
target_include_directories(hearth_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(hearth_flags INTERFACE "$<$<COMPILE_LANGUAGE:C,CXX>:\
-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual;-Werror;\
-ffp-contract=off;-fno-math-errno>")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  # As on x86-64, which most tests run on.
  target_compile_options(hearth_flags INTERFACE "$<$<COMPILE_LANGUAGE:C,CXX>:-fsigned-char>")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies in std::string's own operator+ (GCC PR105651).
  target_compile_options(hearth_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>")
endif()
if(HEARTH_FUZZ)
  # Coverage for libFuzzer in the libraries; the fuzz targets link its main.
  target_compile_options(hearth_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(HEARTH_SANITIZE)
  target_compile_options(hearth_flags INTERFACE
    -fsanitize=${HEARTH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(hearth_flags INTERFACE -fsanitize=${HEARTH_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code hides from GCC that a variant's alternative was set.
    target_compile_options(hearth_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()

# GCC 12's own AVX-512 intrinsics start from undefined vectors and trip its warnings (GCC PR105593).
set(HEARTH_AVX512_WARNINGS "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  set(HEARTH_AVX512_WARNINGS "-Wno-uninitialized;-Wno-maybe-uninitialized")
endif()

# Instruction-set variants are told by their file names.
function(hearth_isa_flags)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_avx2\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mbmi2")
    elseif(source MATCHES "_avx512\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mbmi2;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mavx512vbmi;-mprefer-vector-width=512;${HEARTH_AVX512_WARNINGS}")
    elseif(source MATCHES "_neon\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod")
    endif()
  endforeach()
endfunction()

# hearth_library(NAME DIRS d... LINK l... PRIVATE_LINK l...): the library hearth_NAME of all .cpp
# files in the folders. A folder without sources gives an interface library.
function(hearth_library name)
  cmake_parse_arguments(ARG "" "" "DIRS;LINK;PRIVATE_LINK" ${ARGN})
  set(sources)
  foreach(dir IN LISTS ARG_DIRS)
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.cpp)
    list(FILTER found EXCLUDE REGEX "(_avx2|_avx512|_neon)\\.cpp$")
    list(APPEND sources ${found})
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*_avx2.cpp
           ${CMAKE_SOURCE_DIR}/${dir}/*_avx512.cpp)
      hearth_isa_flags(${found})
      list(APPEND sources ${found})
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
      file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*_neon.cpp)
      hearth_isa_flags(${found})
      list(APPEND sources ${found})
    endif()
  endforeach()
  if(sources)
    add_library(hearth_${name} STATIC ${sources})
    target_link_libraries(hearth_${name} PUBLIC ${ARG_LINK} hearth_flags
                          PRIVATE ${ARG_PRIVATE_LINK})
  else()
    add_library(hearth_${name} INTERFACE)
    target_link_libraries(hearth_${name} INTERFACE ${ARG_LINK} hearth_flags)
  endif()
endfunction()

# hearth_test(NAME DIR dir LINK l...): the doctest program test_NAME of all *_test.cpp in tests/DIR,
# run by CTest from the source folder. Extra helper sources may lie beside (support_*.cpp).
function(hearth_test name)
  cmake_parse_arguments(ARG "" "DIR" "LINK;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${ARG_DIR}/*_test.cpp
       ${CMAKE_SOURCE_DIR}/tests/${ARG_DIR}/support_*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} hearth_doctest_main hearth_flags)
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}")
endfunction()

# hearth_architectures(TARGET DIR): lists the files of DIR as HEARTH_ARCHITECTURE(stem) lines in the
# generated engine/model/architectures.inc, so that adding an architecture is adding a file.
function(hearth_architectures target dir)
  file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.cpp)
  set(lines "")
  foreach(source IN LISTS found)
    get_filename_component(stem ${source} NAME_WE)
    string(APPEND lines "HEARTH_ARCHITECTURE(${stem})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/engine/model/architectures.inc
       CONTENT "${lines}" @ONLY)
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated)
endfunction()
