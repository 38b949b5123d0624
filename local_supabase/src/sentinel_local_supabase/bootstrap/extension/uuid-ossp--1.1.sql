-- uuid-ossp in SQL, for a PostgreSQL without its library.
\echo Use "create extension uuid-ossp" to load this file. \quit

create function uuid_nil() returns uuid language sql immutable parallel safe
  return '00000000-0000-0000-0000-000000000000'::uuid;

create function uuid_ns_dns() returns uuid language sql immutable parallel safe
  return '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid;

create function uuid_ns_url() returns uuid language sql immutable parallel safe
  return '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid;

create function uuid_ns_oid() returns uuid language sql immutable parallel safe
  return '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid;

create function uuid_ns_x500() returns uuid language sql immutable parallel safe
  return '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid;

create function uuid_generate_v4() returns uuid language sql volatile parallel safe
  return gen_random_uuid();

-- A random node, marked as such by its multicast bit, and a random clock sequence: no state is kept between calls.
create function uuid_generate_v1mc() returns uuid language plpgsql volatile parallel safe as $$
declare
  ticks bytea := int8send((extract(epoch from clock_timestamp()) * 10000000)::bigint + 122192928000000000);
  drawn bytea := uuid_send(gen_random_uuid());
begin
  return encode(
    substr(ticks, 5, 4) || substr(ticks, 3, 2)
      || set_byte(substr(ticks, 1, 2), 0, (get_byte(ticks, 0) & 15) | 16)
      || substr(drawn, 9, 2) || set_byte(substr(drawn, 11, 6), 0, get_byte(drawn, 10) | 1), 'hex')::uuid;
end $$;

-- The address of a network card is not read: as version 1mc.
create function uuid_generate_v1() returns uuid language sql volatile parallel safe
  return @extschema@.uuid_generate_v1mc();

create function _uuid_of_hash(hash bytea, version int) returns uuid language sql immutable strict parallel safe
  return encode(set_byte(set_byte(substr(hash, 1, 16), 6, (get_byte(hash, 6) & 15) | (version << 4)),
    8, (get_byte(hash, 8) & 63) | 128), 'hex')::uuid;

create function uuid_generate_v3(namespace uuid, name text) returns uuid language sql immutable strict parallel safe
  return @extschema@._uuid_of_hash(
    @extschema:pgcrypto@.digest(uuid_send(namespace) || convert_to(name, 'UTF8'), 'md5'), 3);

create function uuid_generate_v5(namespace uuid, name text) returns uuid language sql immutable strict parallel safe
  return @extschema@._uuid_of_hash(
    @extschema:pgcrypto@.digest(uuid_send(namespace) || convert_to(name, 'UTF8'), 'sha1'), 5);
