(* The last-writer-wins element set, for any type of elements and any number of them.

   A cell is nothing, or the number that palaver.crdt.order makes from a write: 2t + 1 for an add at stamp t, and for a
   remove 2t if adds win at equal stamps, 2t + 2 if removes do. A state gives every element a cell. No axiom is used:
   the end of the file prints what each theorem rests on. Check with: coqc proofs/lww.v *)

Require Import ZArith Lia List Bool.
Import ListNotations.
Open Scope Z_scope.

Arguments Z.mul : simpl never.
Arguments Z.add : simpl never.
Arguments Z.max : simpl never.

Inductive bias := AddWins | RemoveWins.
Inductive kind := Add | Remove.

Definition code (b : bias) (k : kind) (t : Z) : Z :=
  match k, b with
  | Add, _ => 2 * t + 1
  | Remove, AddWins => 2 * t
  | Remove, RemoveWins => 2 * t + 2
  end.

Definition cell := option Z.

Definition join (x y : cell) : cell :=
  match x, y with
  | None, _ => y
  | _, None => x
  | Some a, Some c => Some (Z.max a c)
  end.

Definition below (x y : cell) : Prop := join x y = y.

(* The chain of cells *)

Lemma join_comm : forall x y, join x y = join y x.
Proof. intros [a|] [c|]; simpl; auto. f_equal; lia. Qed.

Lemma join_assoc : forall x y z, join (join x y) z = join x (join y z).
Proof. intros [a|] [c|] [d|]; simpl; auto. f_equal; lia. Qed.

Lemma join_idem : forall x, join x x = x.
Proof. intros [a|]; simpl; auto. f_equal; lia. Qed.

Lemma join_none : forall x, join x None = x.
Proof. intros [a|]; reflexivity. Qed.

Lemma below_total : forall x y, below x y \/ below y x.
Proof.
  unfold below. intros [a|] [c|]; simpl; auto.
  destruct (Z.le_ge_cases a c); [left | right]; f_equal; lia.
Qed.

Lemma below_antisym : forall x y, below x y -> below y x -> x = y.
Proof. unfold below. intros x y H K. rewrite join_comm in K. congruence. Qed.

Lemma code_injective : forall b k t k' t', code b k t = code b k' t' -> k = k' /\ t = t'.
Proof. intros b k t k' t'. destruct b, k, k'; unfold code; intro H; split; try reflexivity; try lia; exfalso; lia. Qed.

Lemma code_odd : forall b k t, Z.odd (code b k t) = true <-> k = Add.
Proof.
  intros b k t. destruct k; destruct b; simpl code; split; intro H; try reflexivity; try discriminate.
  - rewrite Z.add_1_r, Z.odd_succ, Z.even_mul. reflexivity.
  - rewrite Z.add_1_r, Z.odd_succ, Z.even_mul. reflexivity.
  - rewrite Z.odd_mul in H. discriminate.
  - replace (2 * t + 2) with (2 * (t + 1)) in H by lia. rewrite Z.odd_mul in H. discriminate.
Qed.

Section Elements.

Variable E : Type.
Variable same : forall x y : E, {x = y} + {x <> y}.

Definition state := E -> cell.
Definition equal (X Y : state) : Prop := forall e, X e = Y e.
Definition merge (X Y : state) : state := fun e => join (X e) (Y e).
Definition empty : state := fun _ => None.
Definition within (X Y : state) : Prop := forall e, below (X e) (Y e).

(* States form a bounded join-semilattice, and merge is its join *)

Theorem merge_commutative : forall X Y, equal (merge X Y) (merge Y X).
Proof. intros X Y e. apply join_comm. Qed.

Theorem merge_associative : forall X Y Z, equal (merge (merge X Y) Z) (merge X (merge Y Z)).
Proof. intros X Y Z e. apply join_assoc. Qed.

Theorem merge_idempotent : forall X, equal (merge X X) X.
Proof. intros X e. apply join_idem. Qed.

Theorem merge_empty : forall X, equal (merge X empty) X.
Proof. intros X e. apply join_none. Qed.

Theorem merge_upper : forall X Y, within X (merge X Y) /\ within Y (merge X Y).
Proof.
  intros X Y. split; intro e; unfold below, merge.
  - rewrite <- join_assoc, join_idem. reflexivity.
  - rewrite (join_comm (X e)), <- join_assoc, join_idem. reflexivity.
Qed.

Theorem merge_least : forall X Y Z, within X Z -> within Y Z -> within (merge X Y) Z.
Proof.
  intros X Y Z HX HY e. unfold below, merge in *.
  rewrite join_assoc, (HY e). apply HX.
Qed.

(* Updates, and the states that replicas reach by writing and merging in any way *)

Record update := { element : E; what : kind; stamp : Z }.

Definition delta (b : bias) (u : update) : state :=
  fun e => if same e (element u) then Some (code b (what u) (stamp u)) else None.

Fixpoint run (b : bias) (us : list update) : state :=
  match us with
  | [] => empty
  | u :: rest => merge (delta b u) (run b rest)
  end.

Inductive replica :=
  | Fresh
  | Write (u : update) (r : replica)
  | Merge (r other : replica).

Fixpoint value (b : bias) (r : replica) : state :=
  match r with
  | Fresh => empty
  | Write u r => merge (value b r) (delta b u)
  | Merge r other => merge (value b r) (value b other)
  end.

Fixpoint seen (r : replica) : list update :=
  match r with
  | Fresh => []
  | Write u r => u :: seen r
  | Merge r other => seen r ++ seen other
  end.

Theorem run_app : forall b us vs, equal (run b (us ++ vs)) (merge (run b us) (run b vs)).
Proof.
  intros b us vs e. induction us as [|u us IH]; simpl.
  - reflexivity.
  - unfold merge at 1. rewrite IH. unfold merge. rewrite join_assoc. reflexivity.
Qed.

Theorem value_is_run : forall b r, equal (value b r) (run b (seen r)).
Proof.
  intros b r e. induction r as [|u r IH|r IH other IH']; simpl.
  - reflexivity.
  - unfold merge. rewrite IH, join_comm. reflexivity.
  - rewrite run_app. unfold merge. rewrite IH, IH'. reflexivity.
Qed.

(* The cell of an element is the greatest that any update gave it *)

Lemma run_bound : forall b us u, In u us -> below (Some (code b (what u) (stamp u))) (run b us (element u)).
Proof.
  intros b us. induction us as [|w us IH]; intros u H; [contradiction|].
  simpl. unfold merge, delta, below. destruct H as [->|H].
  - destruct (same (element u) (element u)) as [_|n]; [|contradiction n; reflexivity].
    rewrite <- join_assoc, join_idem. reflexivity.
  - specialize (IH u H). unfold below in IH.
    rewrite (join_comm _ (run b us (element u))), <- join_assoc, IH. reflexivity.
Qed.

Lemma run_source : forall b us e c, run b us e = Some c ->
  exists u, In u us /\ element u = e /\ code b (what u) (stamp u) = c.
Proof.
  intros b us. induction us as [|w us IH]; intros e c H; simpl in H.
  - discriminate.
  - unfold merge, delta in H. destruct (same e (element w)) as [->|_].
    + destruct (run b us (element w)) as [d|] eqn:R; simpl in H.
      * injection H as H. destruct (Z.max_spec (code b (what w) (stamp w)) d) as [[_ M]|[_ M]].
        -- destruct (IH _ _ R) as (u & I & Eu & C). exists u. simpl. repeat split; auto. lia.
        -- exists w. simpl. repeat split; auto. lia.
      * injection H as H. exists w. simpl. auto.
    + simpl in H. destruct (IH _ _ H) as (u & I & Eu & C). exists u. simpl. auto.
Qed.

Lemma run_monotone : forall b us vs, (forall u, In u us -> In u vs) -> within (run b us) (run b vs).
Proof.
  intros b us vs H e. destruct (run b us e) as [c|] eqn:R; [|reflexivity].
  destruct (run_source _ _ _ _ R) as (u & I & <- & <-). apply run_bound. auto.
Qed.

(* Strong eventual consistency: the same updates, the same state *)

Theorem same_updates_same_state : forall b us vs,
  (forall u, In u us <-> In u vs) -> equal (run b us) (run b vs).
Proof. intros b us vs H e. apply below_antisym; apply run_monotone; intros u; apply H. Qed.

Theorem replicas_agree : forall b r other,
  (forall u, In u (seen r) <-> In u (seen other)) -> equal (value b r) (value b other).
Proof. intros b r other H e. rewrite !value_is_run. apply same_updates_same_state. exact H. Qed.

(* Lookup is the specification *)

Definition present (X : state) (e : E) : Prop := exists c, X e = Some c /\ Z.odd c = true.

Definition beaten (b : bias) (by_remove added : Z) : Prop :=
  ~ (by_remove < added \/ (by_remove = added /\ b = AddWins)).

Definition specified (b : bias) (us : list update) (e : E) : Prop :=
  exists t, In {| element := e; what := Add; stamp := t |} us /\
    forall t', In {| element := e; what := Remove; stamp := t' |} us -> ~ beaten b t' t.

Lemma below_some : forall a c, below (Some a) (Some c) <-> a <= c.
Proof. unfold below. intros a c. simpl. split; intro H; [injection H as H; lia | f_equal; lia]. Qed.

Theorem lookup_is_the_specification : forall b us e, present (run b us) e <-> specified b us e.
Proof.
  intros b us e. split.
  - intros (c & R & O). destruct (run_source _ _ _ _ R) as ([e' k t] & I & Eu & C). simpl in *. subst e' c.
    apply code_odd in O. subst k. exists t. split; [exact I|].
    intros t' I' B. apply B. pose proof (run_bound b us _ I') as L. simpl in L. rewrite R in L.
    apply below_some in L. destruct b; simpl in L; [|left; lia].
    assert (t' < t \/ t' = t) as [G|G] by lia; [left; exact G | right; auto].
  - intros (t & I & W). pose proof (run_bound b us _ I) as L. simpl in L.
    destruct (run b us e) as [c|] eqn:R; [|discriminate L].
    exists c. split; [exact R|]. apply below_some in L.
    destruct (run_source _ _ _ _ R) as ([e' k t'] & I' & Eu & C). simpl in *. subst e' c.
    apply code_odd. destruct k; [reflexivity|]. exfalso. apply (W t' I').
    unfold beaten. intros [G|[G B]]; [|rewrite B in L]; destruct b; unfold code in L; lia || (subst; lia).
Qed.

(* Tombstones: at floor f, a replica may hold nothing where it would hold a remove at or below f *)

Definition settled (b : bias) (f : Z) (c : Z) : Prop := c <= code b Add f \/ c <= code b Remove f.

Definition faithful (b : bias) (f : Z) (held full : state) : Prop :=
  forall e, held e = full e \/ (held e = None /\ exists c, full e = Some c /\ Z.odd c = false /\ settled b f c).

Theorem collecting_changes_no_answer : forall b f held full e,
  faithful b f held full -> (present held e <-> present full e).
Proof.
  intros b f held full e H. unfold present. destruct (H e) as [->|(N & c & F & O & _)]; [reflexivity|].
  rewrite N, F. split; intros (d & D & P); [discriminate | injection D as <-; congruence].
Qed.

Theorem raising_the_floor_is_faithful : forall b f g held full,
  f <= g -> faithful b f held full -> faithful b g held full.
Proof.
  intros b f g held full L H e. destruct (H e) as [K|(N & c & F & O & S)]; [left; exact K|right].
  split; [exact N|]. exists c. repeat split; auto. destruct b, S as [S|S]; simpl in *; unfold settled; simpl; lia.
Qed.

(* Everybody has every update at or below the floor, so one that comes again is within what they have. *)
Theorem receiving_under_a_floor_is_faithful : forall b f held full incoming,
  faithful b f held full ->
  (forall e c, incoming e = Some c -> settled b f c -> below (Some c) (full e)) ->
  forall taken,
  (forall e, (exists c, incoming e = Some c /\ settled b f c) -> taken e = held e) ->
  (forall e, ~ (exists c, incoming e = Some c /\ settled b f c) -> taken e = join (held e) (incoming e)) ->
  faithful b f taken (merge full incoming).
Proof.
  intros b f held full incoming H R taken Old New e. unfold merge.
  destruct (incoming e) as [c|] eqn:I.
  - assert (settled b f c \/ ~ settled b f c) as [S|S] by (destruct b; unfold settled; simpl; lia).
    + rewrite (Old e) by eauto. specialize (R e c I S). unfold below in R. rewrite join_comm in R. rewrite R. apply H.
    + rewrite (New e), I by (intros (d & D & Sd); rewrite I in D; injection D as <-; auto). left.
      destruct (H e) as [->|(N & d & F & O & Sd)]; [reflexivity|].
      rewrite N, F. simpl. f_equal. destruct b; unfold settled in *; simpl in *; lia.
  - rewrite (New e), I by (intros (d & D & _); rewrite I in D; discriminate D). rewrite !join_none. apply H.
Qed.

End Elements.

Print Assumptions merge_commutative.
Print Assumptions merge_associative.
Print Assumptions merge_idempotent.
Print Assumptions merge_empty.
Print Assumptions merge_upper.
Print Assumptions merge_least.
Print Assumptions below_total.
Print Assumptions code_injective.
Print Assumptions value_is_run.
Print Assumptions replicas_agree.
Print Assumptions lookup_is_the_specification.
Print Assumptions collecting_changes_no_answer.
Print Assumptions raising_the_floor_is_faithful.
Print Assumptions receiving_under_a_floor_is_faithful.
