"""Five university labs, a page of declarations each, and what runs and reports them."""
