include(CMakeFindDependencyMacro)
macro(luzia_find)
    find_dependency(${ARGN})
endmacro()
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/luziaTargets.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/compiled.cmake")

# luzia::tls: where OpenSSL is there when the package is used, whatever was there when it was installed.
find_package(OpenSSL QUIET)
if(OPENSSL_FOUND AND NOT TARGET luzia::tls)
    add_library(luzia::tls INTERFACE IMPORTED)
    set_target_properties(luzia::tls PROPERTIES INTERFACE_LINK_LIBRARIES "luzia::luzia;OpenSSL::SSL;OpenSSL::Crypto")
endif()
