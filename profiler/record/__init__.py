"""Recording: runs agents, watches the wire and the graph, writes spans."""
