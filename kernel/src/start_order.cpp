// SPDX-License-Identifier: Apache-2.0
#include "start_order.hpp"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/strong_components.hpp>

#include <algorithm>
#include <functional>
#include <queue>

namespace backplane::kernel {
namespace {

using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS>;

/// For each node the number of its strongly connected component.
std::vector<std::size_t> components(const Graph& graph) {
  std::vector<std::size_t> component(boost::num_vertices(graph));
  boost::strong_components(graph, boost::make_iterator_property_map(
                                      component.begin(), boost::get(boost::vertex_index, graph)));
  return component;
}

std::vector<std::size_t> cycle_of_after(const std::vector<StartNode>& nodes) {
  Graph graph(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const std::size_t other : nodes[i].after) boost::add_edge(i, other, graph);
  }
  const std::vector<std::size_t> component = components(graph);
  const auto next_inside = [&](std::size_t i) {
    return std::find_if(nodes[i].after.begin(), nodes[i].after.end(),
                        [&](std::size_t other) { return component[other] == component[i]; });
  };
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (next_inside(i) == nodes[i].after.end()) continue;
    // Every walk inside the component comes back to a node that it has seen.
    std::vector<std::size_t> walk;
    std::vector<std::size_t> seen_at(nodes.size(), nodes.size());
    while (seen_at[i] == nodes.size()) {
      seen_at[i] = walk.size();
      walk.push_back(i);
      i = *next_inside(i);
    }
    return {walk.begin() + static_cast<std::ptrdiff_t>(seen_at[i]), walk.end()};
  }
  return {};
}

/// Topological, with the lowest index first where it is free.
std::vector<std::size_t> topological(const std::vector<std::vector<std::size_t>>& waits_for) {
  std::vector<std::vector<std::size_t>> followers(waits_for.size());
  std::vector<std::size_t> open(waits_for.size());
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t i = 0; i < waits_for.size(); ++i) {
    for (const std::size_t other : waits_for[i]) followers[other].push_back(i);
    open[i] = waits_for[i].size();
    if (open[i] == 0) ready.push(i);
  }
  std::vector<std::size_t> order;
  order.reserve(waits_for.size());
  while (!ready.empty()) {
    const std::size_t i = ready.top();
    ready.pop();
    order.push_back(i);
    for (const std::size_t follower : followers[i]) {
      if (--open[follower] == 0) ready.push(follower);
    }
  }
  return order;
}

/// Numbers the components by their first member.
void number_by_first_member(std::vector<std::size_t>& component) {
  std::vector<std::size_t> number(component.size(), component.size());
  std::size_t next = 0;
  for (std::size_t& each : component) {
    if (number[each] == component.size()) number[each] = next++;
    each = number[each];
  }
}

}  // namespace

StartOrder start_order(const std::vector<StartNode>& nodes) {
  StartOrder result;
  result.cycle = cycle_of_after(nodes);
  if (!result.cycle.empty()) return result;

  Graph graph(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const std::size_t other : nodes[i].after) boost::add_edge(i, other, graph);
    for (const std::size_t other : nodes[i].uses) boost::add_edge(i, other, graph);
  }
  std::vector<std::size_t> component = components(graph);
  number_by_first_member(component);

  // Components come one after the other; inside one, `after` alone counts, and that has no cycle.
  std::vector<std::vector<std::size_t>> between(nodes.size());
  std::vector<std::vector<std::size_t>> inside(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const std::size_t other : nodes[i].after) {
      if (component[other] == component[i]) {
        inside[i].push_back(other);
      } else {
        between[component[i]].push_back(component[other]);
      }
    }
    for (const std::size_t other : nodes[i].uses) {
      if (component[other] != component[i]) between[component[i]].push_back(component[other]);
    }
  }
  std::vector<std::size_t> rank(nodes.size());
  const std::vector<std::size_t> order = topological(between);
  for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  result.order = topological(inside);
  std::stable_sort(result.order.begin(), result.order.end(), [&](std::size_t a, std::size_t b) {
    return rank[component[a]] < rank[component[b]];
  });
  return result;
}

}  // namespace backplane::kernel
