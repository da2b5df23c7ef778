"""What every table and figure of a paper shares."""
