// document.hpp: the JSON document of the benchmarks: a struct of the kind that services cache, 437 bytes as text.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace benchmark {

struct Member {
    std::int64_t id = 0;
    std::string name;
    bool is_active = false;
    double score = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Member, id, name, is_active, score)

struct Document {
    std::int64_t id = 0;
    std::string organisation;
    std::string plan;
    std::vector<Member> members;
    std::map<std::string, std::int64_t> totals;
    std::vector<std::string> tags;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Document, id, organisation, plan, members, totals, tags)

[[nodiscard]] inline Document make_document() {
    Document document;
    document.id = 8'123'456'789;
    document.organisation = "Acme Analytics Limited";
    document.plan = "business";
    document.members = {{1, "Ada Lovelace", true, 0.98},
                        {2, "Grace Hopper", true, 12.5},
                        {3, "Edsger Dijkstra", false, 7.25},
                        {4, "Barbara Liskov", true, 3.5}};
    document.totals = {{"jobs", 1'240}, {"failed", 3}, {"queued", 17}, {"bytes", 734'003'200}};
    document.tags = {"europe", "beta-2", "monthly"};
    return document;
}

} // namespace benchmark
