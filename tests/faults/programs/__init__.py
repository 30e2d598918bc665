"""Programs that the tests of forks and ends run in processes of their own, and what runs them."""
