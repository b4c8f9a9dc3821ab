# Cross compilation for AArch64 with the compiler of g++-aarch64-linux-gnu, against the libraries
# that scripts/aarch64-sysroot brings. Programs of the build run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(HEARTH_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-sysroot)
cmake_path(NORMAL_PATH HEARTH_SYSROOT)
set(CMAKE_FIND_ROOT_PATH ${HEARTH_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${HEARTH_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    ${HEARTH_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${HEARTH_SYSROOT}/usr/share/pkgconfig)

# HEARTH_QEMU_CPU: the CPU that qemu shows to the programs (qemu-aarch64 -cpu help).
set(HEARTH_QEMU_CPU max CACHE STRING "CPU model of qemu-user")
find_program(HEARTH_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(HEARTH_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR
      ${HEARTH_QEMU} -cpu ${HEARTH_QEMU_CPU} -L /usr/aarch64-linux-gnu)
endif()
