"""Row changes and broadcasts over WebSockets, as Supabase Realtime serves them."""
