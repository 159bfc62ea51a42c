# Build facts for --version and the build_info metric. Works without .git (a tarball, an image's build): the revision is then what
# BUILD_REVISION in the environment says, else "unknown".
# No time stamp: the same sources give the same binary.
set(BUILD_REVISION "unknown")
if(NOT "$ENV{BUILD_REVISION}" STREQUAL "")
  set(BUILD_REVISION "$ENV{BUILD_REVISION}")
endif()
find_package(Git QUIET)
if(Git_FOUND AND EXISTS "${CMAKE_SOURCE_DIR}/.git")
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${CMAKE_SOURCE_DIR}" rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(BUILD_REVISION "${revision}")
    # A new commit re-runs CMake, so that the revision stays true.
    execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${CMAKE_SOURCE_DIR}" rev-parse --absolute-git-dir
                    OUTPUT_VARIABLE git_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(EXISTS "${git_dir}/logs/HEAD")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${git_dir}/logs/HEAD")
    endif()
  endif()
endif()

set(BUILD_FEATURES "")
if(HAVE_SYSTEMD)
  list(APPEND BUILD_FEATURES "systemd")
endif()
if(STATIC)
  file(STRINGS "${CMAKE_BINARY_DIR}/libcurl/version" curl_version) # with Debian's patch level, which libcurl itself does not say
  list(APPEND BUILD_FEATURES "static" "curl-${curl_version}")
endif()
if(SANITIZE OR FUZZING)
  list(APPEND BUILD_FEATURES "sanitizers")
endif()
list(JOIN BUILD_FEATURES " " BUILD_FEATURES)
configure_file("${CMAKE_SOURCE_DIR}/cmake/version_generated.h.in" "${CMAKE_BINARY_DIR}/generated/version_generated.h" @ONLY)
