"""What people read: tables, pictures, and the page of the demo."""
