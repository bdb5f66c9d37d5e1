# luzia::compiled: luzia::luzia with its engine compiled once, where a target links it, with the flags of the directory that this is included in.
if(NOT TARGET luzia_compiled)
    file(CONFIGURE OUTPUT luzia_src.cpp CONTENT "#include <luzia/src.hpp>\n")
    add_library(luzia_compiled STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_BINARY_DIR}/luzia_src.cpp)
    add_library(luzia::compiled ALIAS luzia_compiled)
    set_target_properties(luzia_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(luzia_compiled PUBLIC LUZIA_SEPARATE_COMPILATION)
    target_link_libraries(luzia_compiled PUBLIC luzia::luzia)
endif()
