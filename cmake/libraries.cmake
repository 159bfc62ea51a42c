# What others wrote. Debian's names are in .ci/packages; `make setup` installs them.
find_package(PkgConfig)
find_package(Threads REQUIRED)
if(NOT PkgConfig_FOUND)
  message(FATAL_ERROR "pkg-config is missing: run `make setup` (installs what .ci/packages lists)")
endif()

# The static build takes archives only, with all that they need in turn, and the libcurl that cmake/static_libcurl has built.
if(STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  list(APPEND PKG_CONFIG_ARGN --static)
  set(ENV{PKG_CONFIG_PATH} "${CMAKE_BINARY_DIR}/libcurl/lib/pkgconfig")
  if(NOT EXISTS "${CMAKE_BINARY_DIR}/libcurl/lib/libcurl.a")
    message(FATAL_ERROR "${CMAKE_BINARY_DIR}/libcurl/lib/libcurl.a is missing: run `make static`, or cmake/static_libcurl ${CMAKE_BINARY_DIR}/libcurl")
  endif()
endif()

# library_need(TARGET PKGCONFIG-SPEC DEBIAN-PACKAGE)
function(library_need target spec package)
  pkg_check_modules(${target} IMPORTED_TARGET GLOBAL ${spec})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "${spec} was not found: run `make setup`, or install ${package}")
  endif()
  add_library(lib::${target} ALIAS PkgConfig::${target})
  set_property(GLOBAL APPEND PROPERTY library_packages ${package})
endfunction()

if(STATIC)
  library_need(uv "libuv-static>=1.44" libuv1-dev) # its archive has a name of its own
else()
  library_need(uv "libuv>=1.44" libuv1-dev)
endif()
library_need(curl "libcurl>=7.88" libcurl4-openssl-dev)
library_need(json "json-c>=0.16" libjson-c-dev)
library_need(yaml "yaml-0.1>=0.2" libyaml-dev)
library_need(ssl "openssl>=3.0" libssl-dev)
library_need(sqlite "sqlite3>=3.40" libsqlite3-dev)

if(STATIC)
  library_need(cares "libcares>=1.18" libc-ares-dev)
  static_packages()
endif()

# llhttp, the judge of fuzz_http_fields: Debian's node-llhttp installs the generated C sources; we compile them where they are, without our flags.
find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp /usr/include/llhttp)
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp)
if(NOT LLHTTP_INCLUDE_DIR OR NOT LLHTTP_SOURCE_DIR)
  message(FATAL_ERROR "llhttp was not found: run `make setup`, or install node-llhttp "
                      "(looked for llhttp.h in /usr/share/include/llhttp and llhttp.c in /usr/share/llhttp)")
endif()
add_library(llhttp STATIC "${LLHTTP_SOURCE_DIR}/api.c" "${LLHTTP_SOURCE_DIR}/http.c" "${LLHTTP_SOURCE_DIR}/llhttp.c")
target_include_directories(llhttp SYSTEM PUBLIC "${LLHTTP_INCLUDE_DIR}")
target_compile_options(llhttp PRIVATE -O2)
add_library(lib::llhttp ALIAS llhttp)
