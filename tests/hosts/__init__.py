"""Several hosts, or one whose network fails: in network namespaces that the tests make themselves."""
