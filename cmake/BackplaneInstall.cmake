# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` adds to the targets: find_package(backplane), backplane.pc.
include(CMakePackageConfigHelpers)

set(bp_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/backplane)
configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/backplaneConfig.cmake.in ${PROJECT_BINARY_DIR}/backplaneConfig.cmake
  INSTALL_DESTINATION ${bp_package_dir})
# Additions only within a major version; before 1.0 every minor version may differ.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(bp_compatibility SameMinorVersion)
else()
  set(bp_compatibility SameMajorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/backplaneConfigVersion.cmake
                                 COMPATIBILITY ${bp_compatibility})
# Relative, so that an installed tree may be moved and `cmake --install --prefix` is believed.
string(REGEX REPLACE "[^/]+" ".." bp_prefix_from_pc ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
configure_file(${CMAKE_CURRENT_LIST_DIR}/backplane.pc.in ${PROJECT_BINARY_DIR}/backplane.pc @ONLY)

install(FILES ${PROJECT_BINARY_DIR}/backplaneConfig.cmake
              ${PROJECT_BINARY_DIR}/backplaneConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/sdk/cmake/BackplaneAddPlugin.cmake
              ${PROJECT_SOURCE_DIR}/sdk/cmake/plugin_exports.map
        DESTINATION ${bp_package_dir}
        COMPONENT libbackplane-dev)
install(EXPORT backplaneTargets NAMESPACE backplane:: DESTINATION ${bp_package_dir}
        COMPONENT libbackplane-dev)
install(FILES ${PROJECT_BINARY_DIR}/backplane.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT libbackplane-dev)
