"""Sign-up, sign-in, sessions and users, as clients of Supabase Auth expect them."""
