"""What the machines of ``test_plays.py`` are made of."""
