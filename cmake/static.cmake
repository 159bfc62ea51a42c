# What is different when everything is linked statically (STATIC=ON, preset static). Included by flags.cmake.
link_flag_add(flags_common -static-pie)
target_link_options(flags_common INTERFACE -Wl,--gc-sections -Wl,--build-id=sha1)
target_compile_options(flags_common INTERFACE -ffunction-sections -fdata-sections)
# One bit instead of 24 bytes for each of the many addresses in OpenSSL's tables that the start has to adjust. A linker that does not
# know it for this machine warns, which counts as no.
link_flag_add(flags_common -Wl,--fatal-warnings,-z,pack-relative-relocs)
# 0.7 MiB of 6.1: unwinding tables. Debuggers find ours in TARGET.debug instead.
flag_add(flags_common -fno-asynchronous-unwind-tables)
target_link_options(flags_common INTERFACE "-Wl,-T,${CMAKE_SOURCE_DIR}/cmake/static.ld")
# glibc makes the linker warn where a program asks the name service, for which the shared libraries of just this libc would have to
# be there at run time. sidecar/static/ takes those calls' places; whoever brings a new one shall hear of it.
target_link_options(flags_common INTERFACE -Wl,--fatal-warnings)

# static_packages(): molecule-sidecar.packages, the Debian packages whose code is in the program, as "package version source source-version",
# for whoever has to know which advisories concern it. libcurl is that of cmake/static_libcurl.
function(static_packages)
  get_property(packages GLOBAL PROPERTY library_packages)
  list(REMOVE_ITEM packages libcurl4-openssl-dev)
  file(STRINGS "${CMAKE_BINARY_DIR}/libcurl/version" curl)
  string(REGEX MATCH "^[0-9]+" gcc "${CMAKE_C_COMPILER_VERSION}")
  execute_process(COMMAND dpkg-query -W -f "\${Package} \${Version} \${source:Package} \${source:Version}\\n" ${packages} libc6-dev libgcc-${gcc}-dev
                  OUTPUT_VARIABLE rows ERROR_QUIET)
  file(WRITE "${CMAKE_BINARY_DIR}/molecule-sidecar.packages" "libcurl ${curl} curl ${curl}\n${rows}")
endfunction()

# static_sbom(TARGET): TARGET.spdx.json beside it, the same list for machines, with the program's own sum. Made with `make static`.
function(static_sbom target)
  set(made "${CMAKE_BINARY_DIR}/${target}.spdx.json")
  add_custom_command(OUTPUT "${made}" VERBATIM
    COMMAND "${CMAKE_COMMAND}" "-DPROGRAM=$<TARGET_FILE:${target}>" "-DPACKAGES=${CMAKE_BINARY_DIR}/molecule-sidecar.packages"
            "-DVERSION=${PROJECT_VERSION}" "-DREVISION=${BUILD_REVISION}" "-DARCHITECTURE=${CMAKE_SYSTEM_PROCESSOR}" "-DOUT=${made}"
            -P "${CMAKE_SOURCE_DIR}/cmake/sbom.cmake"
    DEPENDS ${target} "${CMAKE_SOURCE_DIR}/cmake/sbom.cmake" "${CMAKE_BINARY_DIR}/molecule-sidecar.packages")
  add_custom_target(${target}-sbom ALL DEPENDS "${made}")
endfunction()

# static_program(TARGET): an executable of this build. Stripped; its symbols stay in TARGET.debug beside it.
function(static_program target)
  target_link_libraries(${target} PRIVATE static_parts)
  target_link_options(${target} PRIVATE -Wl,--wrap=ares_init_options -Wl,--wrap=dlopen -Wl,--wrap=_dl_relocate_static_pie)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/static.ld")
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND "${CMAKE_OBJCOPY}" --only-keep-debug "$<TARGET_FILE:${target}>" "$<TARGET_FILE:${target}>.debug"
    COMMAND "${CMAKE_STRIP}" "$<TARGET_FILE:${target}>"
    COMMAND "${CMAKE_OBJCOPY}" "--add-gnu-debuglink=$<TARGET_FILE:${target}>.debug" "$<TARGET_FILE:${target}>")
endfunction()
