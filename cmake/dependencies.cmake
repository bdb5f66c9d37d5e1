# What the library stands on. Part of the build and of the installed package alike: `luzia_find` is find_package or find_dependency.
if(NOT COMMAND luzia_find)
    macro(luzia_find)
        find_package(${ARGN} REQUIRED)
    endmacro()
endif()

if(POLICY CMP0167)
    cmake_policy(SET CMP0167 NEW) # Boost's own package files, where CMake has no module for it any more
endif()

list(PREPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}") # Findhiredis.cmake
luzia_find(Boost 1.81)
luzia_find(hiredis 0.14.1)
luzia_find(nlohmann_json 3.11)
luzia_find(spdlog 1.10)
luzia_find(Threads)
list(POP_FRONT CMAKE_MODULE_PATH)
