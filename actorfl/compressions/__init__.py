"""Ways to compress what workers send up, one file each."""
