"""What comes back: one class per object of the vendor's answers, in rooms named like the API's."""
