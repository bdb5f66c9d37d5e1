// The other of two files that include everything.
#include <luzia/luzia.hpp>

const void* second_category() { return &luzia::error_category(); }
