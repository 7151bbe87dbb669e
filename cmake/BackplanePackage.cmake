# SPDX-License-Identifier: Apache-2.0
# `cpack`: Debian packages. A component of the install is a package of its name: libbackplane1,
# libbackplane-dev, backplane, and backplane-plugin-NAME for each plugin, which depends on what its own
# protocol stack needs and on nothing of another's.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME backplane)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "Backplane maintainers <maintainers@backplane.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "microkernel for inter-process communication")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

configure_file(${CMAKE_CURRENT_LIST_DIR}/copyright.in ${PROJECT_BINARY_DIR}/copyright @ONLY)

# bp_package(NAME SECTION "description" [DEPENDS ...] [RECOMMENDS ...] [SUGGESTS ...])
macro(bp_package name section description)
  cmake_parse_arguments(package "" "DEPENDS;RECOMMENDS;SUGGESTS" "" ${ARGN})
  list(APPEND CPACK_COMPONENTS_ALL ${name})
  string(TOUPPER ${name} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${upper}_DESCRIPTION ${description})
  foreach(kind DEPENDS RECOMMENDS SUGGESTS)
    if(package_${kind})
      set(CPACK_DEBIAN_${upper}_PACKAGE_${kind} "${package_${kind}}")
    endif()
  endforeach()
  install(FILES ${PROJECT_BINARY_DIR}/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name}
          COMPONENT ${name})
endmacro()

set(bp_same "(= ${PROJECT_VERSION})")
set(bp_library libbackplane${BP_ABI_MAJOR})
set(bp_plugin_packages)
get_property(bp_plugins GLOBAL PROPERTY BACKPLANE_INSTALLED_PLUGINS)
foreach(plugin ${bp_plugins})
  string(REPLACE "@" ";" plugin ${plugin})
  list(GET plugin 0 plugin_name)
  list(GET plugin 1 plugin_manifest)
  file(STRINGS ${plugin_manifest} plugin_text REGEX "^description = \"" LIMIT_COUNT 1)
  string(REGEX REPLACE "^description = \"(.*)\"$" "\\1" plugin_text "${plugin_text}")
  bp_package(backplane-plugin-${plugin_name} libs "The plugin ${plugin_name}.\n${plugin_text}"
             DEPENDS "${bp_library} ${bp_same}")
  list(APPEND bp_plugin_packages backplane-plugin-${plugin_name})
endforeach()
list(JOIN bp_plugin_packages ", " bp_plugin_packages)

# What a program that links the library will depend on; and the cache of the loader.
file(WRITE ${PROJECT_BINARY_DIR}/shlibs
     "libbackplane ${BP_ABI_MAJOR} ${bp_library} (>= ${PROJECT_VERSION})\n")
file(WRITE ${PROJECT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
string(TOUPPER ${bp_library} upper)
set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${PROJECT_BINARY_DIR}/shlibs;${PROJECT_BINARY_DIR}/triggers")
bp_package(${bp_library} libs "The library with the kernel, which loads every mechanism as a plugin." SUGGESTS "${bp_plugin_packages}")
bp_package(libbackplane-dev libdevel "Headers of the C API, the C++ SDK, the CMake package and the .pc file."
           DEPENDS "${bp_library} ${bp_same}" RECOMMENDS "backplane ${bp_same}"
           SUGGESTS "nlohmann-json3-dev, libssl-dev")
bp_package(backplane net "The command: runs systems of instances and routes, and looks into them." DEPENDS "${bp_library} ${bp_same}"
           RECOMMENDS "${bp_plugin_packages}" SUGGESTS "mosquitto")

include(CPack)
