# Headers, the CMake package and the pkg-config file. Nothing in them depends on the architecture.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(luzia_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/luzia)

install(DIRECTORY include/luzia DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS luzia EXPORT luziaTargets)
install(EXPORT luziaTargets NAMESPACE luzia:: DESTINATION ${luzia_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/luziaConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/luziaConfig.cmake cmake/compiled.cmake cmake/dependencies.cmake cmake/Findhiredis.cmake
              ${PROJECT_BINARY_DIR}/luziaConfigVersion.cmake
        DESTINATION ${luzia_package_dir})

configure_file(cmake/luzia.pc.in ${PROJECT_BINARY_DIR}/luzia.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/luzia.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/luzia)
