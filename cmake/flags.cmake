# Language, warnings, hardening and sanitizers, as three interface targets:
#   flags_common    every target of ours, tests included
#   flags_warnings  the full set, for sidecar/ and devplatform/
#   flags_tests     the same without what Criterion's macros cannot pass
# Each flag is probed, so an older or newer compiler loses a flag rather than the build. llhttp gets none of these.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # gnu17
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# assert() stays on in release: CMake adds -DNDEBUG by itself, we take it out.
foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REGEX REPLACE "(^| )-DNDEBUG( |$)" " " CMAKE_C_FLAGS_${type} "${CMAKE_C_FLAGS_${type}}")
endforeach()
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")
if(SANITIZE)
  set(CMAKE_C_FLAGS_DEBUG "-O1 -g") # unoptimised sanitizer code is several times slower, and finds no more
endif()

add_library(flags_common INTERFACE)
add_library(flags_warnings INTERFACE)
add_library(flags_tests INTERFACE)
target_compile_definitions(flags_common INTERFACE _GNU_SOURCE)
target_include_directories(flags_common INTERFACE "${CMAKE_SOURCE_DIR}/sidecar")

# flag_add(TARGET FLAG): the compiler option, when this compiler knows it.
function(flag_add target flag)
  string(MAKE_C_IDENTIFIER "has${flag}" var)
  set(CMAKE_REQUIRED_FLAGS "-Werror -O1") # -O1: _FORTIFY_SOURCE complains without an optimiser
  check_c_compiler_flag("${flag}" ${var})
  if(${var})
    target_compile_options(${target} INTERFACE "${flag}")
  endif()
endfunction()

# link_flag_add(TARGET FLAG): the linker option, when it works.
function(link_flag_add target flag)
  string(MAKE_C_IDENTIFIER "links${flag}" var)
  check_linker_flag(C "${flag}" ${var})
  if(${var})
    target_link_options(${target} INTERFACE "${flag}")
  endif()
endfunction()

set(warnings
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wformat=2 -Wvla -Wwrite-strings -Wcast-qual -Wpointer-arith -Wundef -Wimplicit-fallthrough -Wnull-dereference)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND warnings -Wlogical-op -Wduplicated-cond -Wduplicated-branches)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  # json-c's loops are statement expressions, which gnu17 has; { "x" } for "the rest is zero" is how our tables are written.
  list(APPEND warnings -Wno-gnu-statement-expression -Wno-missing-field-initializers)
endif()
foreach(flag IN LISTS warnings)
  flag_add(flags_warnings ${flag})
endforeach()
foreach(flag -Wall -Wextra -Wshadow -Wstrict-prototypes -Wformat=2 -Wvla -Wwrite-strings -Wimplicit-fallthrough)
  flag_add(flags_tests ${flag})
endforeach()
# snprintf cuts, that is what it is for; where it would matter, its result is looked at. gcc's guess depends on the optimiser.
flag_add(flags_warnings -Wno-format-truncation)
flag_add(flags_tests -Wno-format-truncation)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  target_compile_options(flags_tests INTERFACE -Wno-missing-field-initializers -Wno-string-concatenation) # cut long lines
endif()
if(WERROR)
  target_compile_options(flags_common INTERFACE -Werror)
endif()

# Position-independent executables in every build, so that a bug which needs PIE shows in dev too. -static-pie is one as well, and
# does not go together with CMake's -pie.
if(STATIC)
  include(static)
else()
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES C)
endif()

flag_add(flags_common -fstack-protector-strong)
if(SANITIZE OR FUZZING)
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(FUZZING)
    list(APPEND sanitize -fsanitize=fuzzer-no-link)
  endif()
  target_compile_options(flags_common INTERFACE ${sanitize})
  target_link_options(flags_common INTERFACE ${sanitize})
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # As a shared library gcc's libubsan ignores log_path, and a report of a process below an end-to-end test would be lost.
    target_link_options(flags_common INTERFACE -static-libubsan)
  endif()
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  # _FORTIFY_SOURCE needs an optimiser and hides calls from AddressSanitizer, hence only here.
  flag_add(flags_common -U_FORTIFY_SOURCE)
  flag_add(flags_common -D_FORTIFY_SOURCE=3)
  flag_add(flags_common -fstack-clash-protection)
  flag_add(flags_common -fcf-protection=full)          # of x86
  flag_add(flags_common -mbranch-protection=standard)  # of arm64: the same aims by other means
  flag_add(flags_common -ftrivial-auto-var-init=zero) # clang 14 refuses it
  link_flag_add(flags_common -Wl,-z,relro)
  link_flag_add(flags_common -Wl,-z,now)
  link_flag_add(flags_common -Wl,-z,noexecstack)
endif()

# Optimising across modules takes a tenth of the instructions off a forwarded message, but makes each link slow. So the
# objects carry both forms: the program asks for the slow link (lto_program), the many tests take the plain code.
set(use_lto OFF)
if(LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT SANITIZE AND NOT FUZZING)
  set(CMAKE_REQUIRED_FLAGS "-flto")
  check_c_compiler_flag("-ffat-lto-objects" lto_works)
  unset(CMAKE_REQUIRED_FLAGS)
  set(use_lto ${lto_works})
endif()
if(use_lto)
  target_link_options(flags_tests INTERFACE -fno-lto)
endif()

# Hundreds of programs that are linked and started once: the linker that takes half the time (it comes with binutils), and no library
# that nothing in the program calls, for each case of a unit test is a process that has to load them all.
link_flag_add(flags_tests -Wl,--as-needed)
if(NOT FUZZING)
  link_flag_add(flags_tests -fuse-ld=gold)
endif()
# The tests' own sources, not what they test: lines for a backtrace, and as little optimiser as the warnings and _FORTIFY_SOURCE want.
if(SANITIZE)
  target_compile_options(flags_tests INTERFACE -O0 -g1)
elseif(NOT FUZZING AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(flags_tests INTERFACE -O1 -g1)
endif()

# lto_objects(TARGET): may be linked either way. lto_program(TARGET): is linked the slow way.
function(lto_objects target)
  if(use_lto)
    target_compile_options(${target} PRIVATE -flto -ffat-lto-objects)
  endif()
endfunction()
function(lto_program target)
  if(use_lto)
    lto_objects(${target})
    target_link_options(${target} PRIVATE -flto=auto)
  endif()
endfunction()
