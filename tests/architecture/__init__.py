"""What holds for the checkout as a whole: its arrows, its locks, its files."""
