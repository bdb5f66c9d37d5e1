# For what is built here; users of the library keep their own warnings.
add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(LUZIA_WARNINGS_AS_ERRORS)
    add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # False alarms of GCC about Asio: its coroutine frames have their own operator delete, and its fences are unknown to ThreadSanitizer.
    add_compile_options(-Wno-mismatched-new-delete -Wno-tsan)
endif()

# A sanitizer or several: -DLUZIA_SANITIZE=address,undefined
set(LUZIA_SANITIZE "" CACHE STRING "Sanitizers to build with, as for -fsanitize")
if(LUZIA_SANITIZE)
    add_compile_options(-fsanitize=${LUZIA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_compile_options($<$<NOT:$<CONFIG:Debug,RelWithDebInfo>>:-g1>) # reports need lines
    add_link_options(-fsanitize=${LUZIA_SANITIZE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND LUZIA_SANITIZE MATCHES "undefined")
        add_compile_options(-fno-sanitize=function) # Clang 14 can't assemble coroutines with it
    endif()
    if(LUZIA_SANITIZE MATCHES "thread")
        set(luzia_spdlog spdlog::spdlog_header_only) # the compiled libspdlog is not instrumented, and gives false races
    endif()
endif()
