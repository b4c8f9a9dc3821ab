#include "server/worker/cpu_placement.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

using namespace hearth;
namespace fs = std::filesystem;
using Nodes = std::vector<CpuList>;

namespace {

/// A folder of its own that goes with the test.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "hearth-placement-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path / file).parent_path());
    std::ofstream(path / file) << text << '\n';
  }
  fs::path path;
};

CpuList range(int first, int last) {
  CpuList cpus;
  for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  return cpus;
}

}  // namespace

TEST_CASE("lists of CPUs in the kernel's form") {
  CHECK(parse_cpu_list("0-3,8").value() == CpuList{0, 1, 2, 3, 8});
  CHECK(parse_cpu_list("5,1,1-2").value() == CpuList{1, 2, 5});
  CHECK(parse_cpu_list("").value().empty());
  CHECK(format_cpu_list({0, 1, 2, 3, 8, 10, 11}) == "0-3,8,10-11");
  CHECK(format_cpu_list({}).empty());
  for (const char* bad : {"-1", "1-", "3-1", "a", "1,,2", "0-99999", "1 2", ",1"}) {
    CAPTURE(bad);
    CHECK(!parse_cpu_list(bad).has_value());
  }
}

TEST_CASE("nodes hold only the CPUs that may be used") {
  const Folder sysfs;
  sysfs.write("online", "0-1,3");
  sysfs.write("node0/cpulist", "0-3");
  sysfs.write("node1/cpulist", "4-7");
  sysfs.write("node3/cpulist", "");  // memory without CPUs
  CHECK(numa_nodes(range(0, 7), sysfs.path) == Nodes{range(0, 3), range(4, 7)});
  CHECK(numa_nodes({2, 3}, sysfs.path) == Nodes{{2, 3}});
  CHECK(numa_nodes({1, 2}, sysfs.path / "none") == Nodes{{1, 2}});
}

TEST_CASE("workers get slices of the nodes that do not overlap") {
  const Nodes two_nodes{range(0, 7), range(8, 15)};
  CHECK(place_workers(two_nodes, 2) == two_nodes);
  CHECK(place_workers(two_nodes, 1) == Nodes{range(0, 15)});
  CHECK(place_workers(two_nodes, 4) ==
        Nodes{range(0, 3), range(4, 7), range(8, 11), range(12, 15)});
  CHECK(place_workers(two_nodes, 3) == Nodes{range(0, 3), range(4, 7), range(8, 15)});
  CHECK(place_workers(Nodes{range(0, 4)}, 2) == Nodes{range(0, 1), range(2, 4)});
  CHECK(place_workers(Nodes{{3}, {5}, {7}}, 2) == Nodes{CpuList{3, 5}, CpuList{7}});
}

TEST_CASE("more workers than CPUs share them in turn") {
  CHECK(place_workers(Nodes{{4, 6}}, 5) == Nodes{{4}, {6}, {4}, {6}, {4}});
}

TEST_CASE("every CPU is used and every worker has one") {
  for (int nodes = 1; nodes <= 4; ++nodes) {
    for (int workers = 1; workers <= 9; ++workers) {
      CAPTURE(nodes);
      CAPTURE(workers);
      std::vector<CpuList> topology;
      for (int node = 0; node < nodes; ++node) topology.push_back(range(node * 12, node * 12 + 11));
      CpuList all;
      for (const CpuList& cpus : place_workers(topology, workers)) {
        CHECK(!cpus.empty());
        all.insert(all.end(), cpus.begin(), cpus.end());
      }
      std::ranges::sort(all);
      CHECK(all == range(0, nodes * 12 - 1));
    }
  }
}

TEST_CASE("the CPU limit is the tightest on the way to the root group") {
  const Folder root;
  root.write("own", "1:cpu:/elsewhere\n0::/pod/container");
  const auto limit = [&root] { return cgroup_cpu_limit(root.path, root.path / "own"); };
  CHECK(!limit());
  root.write("pod/container/cpu.max", "max 100000");
  CHECK(!limit());
  root.write("pod/cpu.max", "250000 100000");
  CHECK(limit() == 3);
  root.write("pod/container/cpu.max", "50000 100000");
  CHECK(limit() == 1);
  root.write("pod/container/cpu.max", "nonsense");
  CHECK(limit() == 3);
}

TEST_CASE("a process can be bound to the CPUs that it may use") {
  const CpuList allowed = allowed_cpus();
  REQUIRE(!allowed.empty());
  REQUIRE(pin_process({allowed.front()}).has_value());
  CHECK(allowed_cpus() == CpuList{allowed.front()});
  REQUIRE(pin_process(allowed).has_value());
  CHECK(allowed_cpus() == allowed);
  CHECK(!pin_process({}).has_value());
}
