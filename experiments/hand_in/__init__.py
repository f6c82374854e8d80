"""What a lab wants handed in: made, checked by the lab's rules, and written."""
