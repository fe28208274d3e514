-- Study rooms beside direct conversations and groups; admins beside owners and members.

alter table conversation
  drop constraint conversation_kind_check,
  add constraint conversation_kind_check check (kind in ('direct', 'group', 'study'));

alter table member
  drop constraint member_role_check,
  add constraint member_role_check check (role in ('owner', 'admin', 'member'));
