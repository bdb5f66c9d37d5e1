// One of two files that include everything: nothing may be defined twice.
#include <luzia/luzia.hpp>

const void* second_category();

int main() {
    // One category for the whole program, or error codes of the two files would not compare equal.
    return second_category() == &luzia::error_category() ? 0 : 1;
}
